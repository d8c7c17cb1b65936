"""Validates the config of an action. Errors name the path of the field and repeat no value."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.actions.base import Notification
from app.actions.sample import sample_notifications
from app.actions.templates import EmptyResult, UnusableTemplate
from app.errors import FieldError, InvalidInput


class ConfigModel(BaseModel):
    """The base of configs: no unknown fields, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True)


Model = TypeVar("Model", bound=ConfigModel)


def parse(model: type[Model], config: dict[str, Any]) -> Model:
    """Validate a config.

    Raises: InvalidInput, with fields such as `config.url`.
    """
    try:
        return model.model_validate(config)
    except ValidationError as error:
        refusal = InvalidInput.from_validation(error, "config")
    # Outside of the handler: Pydantic's error, which contains the config, must not be its context.
    raise refusal


def try_template(field: str, render: Callable[[Notification], object]) -> None:
    """Try a user's template with sample notifications.

    It may render to nothing for one without a rule: the built-in text is used there.

    Raises: InvalidInput.
    """
    for notification in sample_notifications():
        try:
            render(notification)
        except UnusableTemplate as error:
            if not isinstance(error, EmptyResult) or notification.rule is not None:
                raise refuse(field, f"tried with a sample {notification.type}: {error}") from None


def refuse(field: str, message: str) -> InvalidInput:
    """Create the error of one field of a config."""
    return InvalidInput([FieldError(f"config.{field}", message)])
