"""Signing in: as a demo user with one click, or with a password."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

BACKEND = "django.contrib.auth.backends.ModelBackend"


class DemoLoginView(LoginView):
    """The ordinary form, with the demo users above it."""

    template_name = "flights/login.html"
    redirect_authenticated_user = True

    def get_form_kwargs(self) -> dict[str, Any]:
        """Leave out the colon after labels, as the other forms do."""
        return super().get_form_kwargs() | {"label_suffix": ""}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the password, which is no secret."""
        return super().get_context_data(password=settings.DEMO_PASSWORD, **kwargs)


@require_POST
def log_in_as(request: HttpRequest, username: str) -> HttpResponse:
    """Log in as one of the demo users, without a password."""
    if username not in settings.DEMO_USERS:
        raise Http404
    user = get_object_or_404(get_user_model(), username=username)
    login(request, user, backend=BACKEND)
    wanted = request.POST.get("next", "")
    is_here = url_has_allowed_host_and_scheme(wanted, {request.get_host()})
    return redirect(wanted if is_here else settings.LOGIN_REDIRECT_URL)
