"""Reads the config of an action: unknown fields and wrong types are refused at their path, and no value is repeated."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import FieldError, InvalidInput
from app.utils import wording


class ConfigModel(BaseModel):
    """What configs share: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


Model = TypeVar("Model", bound=ConfigModel)


def parse(model: type[Model], config: dict[str, Any]) -> Model:
    """Read a config.

    Raises: InvalidInput, with fields such as `config.url`.
    """
    try:
        return model.model_validate(config)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
    raise InvalidInput(
        [
            FieldError(".".join(["config", *(str(part) for part in item["loc"])]), wording.sentence(item))
            for item in details
        ]
    )


def refuse(field: str, message: str) -> InvalidInput:
    """Make the error of one field of a config."""
    return InvalidInput([FieldError(f"config.{field}", message)])
