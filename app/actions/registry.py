"""The kinds of actions by name."""

from app.actions.apprise import Apprise
from app.actions.base import ActionKind
from app.actions.email import Email
from app.actions.webhook import Webhook
from app.config import get_settings
from app.enums import ActionType

_KINDS: dict[ActionType, ActionKind] = {
    ActionType.EMAIL: Email(get_settings),
    ActionType.WEBHOOK: Webhook(get_settings),
    ActionType.APPRISE: Apprise(get_settings),
}


def kind_for(action_type: ActionType) -> ActionKind:
    """Return the kind of an action."""
    return _KINDS[action_type]
