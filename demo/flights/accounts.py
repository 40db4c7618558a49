"""The demo's users, who exist so that nobody has to register."""

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest


class SignedInRequest(HttpRequest):
    """A request that ``login_required`` has let through."""

    user: User


def demo_users() -> list[User]:
    """Return the demo's users, made if they are not there yet."""
    return [_made(username, *names) for username, names in settings.DEMO_USERS.items()]


def _made(username: str, first_name: str, last_name: str) -> User:
    names = {"first_name": first_name, "last_name": last_name}
    user, is_new = User.objects.get_or_create(username=username, defaults=names)
    if is_new:
        user.set_password(settings.DEMO_PASSWORD)
        user.save()
    return user
