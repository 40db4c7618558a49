"""What visitors enter."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from flights import partner
from flights.models import Airline, Airport

MB = 1024 * 1024
UPLOAD_LIMIT = 200 * MB
NEW_YORK = ("EWR", "JFK", "LGA")


class LabelledForm(forms.Form):
    """A form whose labels end without a colon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class UploadForm(LabelledForm):
    """A CSV file, of whatever kind."""

    file = forms.FileField(
        label=_("CSV file"),
        help_text=_("Any delimiter, any encoding, up to 200 MB. Kept for a day."),
        allow_empty_file=True,  # the job has something to say about it
        max_length=255,
    )

    def clean_file(self) -> UploadedFile:
        """Refuse what is too large before a worker is bothered."""
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > UPLOAD_LIMIT:
            raise forms.ValidationError(_("The file is larger than 200 MB."))
        return file


class PunctualityForm(LabelledForm):
    """An airline and one of New York's airports."""

    airline = forms.ModelChoiceField(Airline.objects.all(), label=_("Airline"))
    airport = forms.ModelChoiceField(
        Airport.objects.filter(code__in=NEW_YORK), label=_("Airport")
    )


class ColleagueField(forms.ModelChoiceField):
    """Users by the names people know."""

    def label_from_instance(self, obj: User) -> str:
        """Return the full name; without one, the username."""
        return obj.get_full_name() or obj.get_username()


class PartnerForm(LabelledForm):
    """The key for the partner, and who may see what comes of it.

    The key is checked while the visitor waits, at most 2 seconds, and traded
    for a pass; only the pass is given to the job.
    """

    key = forms.CharField(
        label=_("API key"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    colleague = ColleagueField(
        User.objects.none(),
        label=_("Also available to"),
        required=False,
        empty_label=_("nobody else"),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = User.objects.exclude(pk=user.pk).order_by("username")
        self.fields["colleague"].queryset = others  # type: ignore[attr-defined]

    def clean_key(self) -> str:
        """Check the key with the partner and keep the pass it is good for."""
        key: str = self.cleaned_data["key"]
        try:
            self.access_pass = partner.obtain_pass(key)
        except partner.Refused as error:
            raise forms.ValidationError(
                _("The partner does not know this key.")
            ) from error
        except partner.Unavailable as error:
            raise forms.ValidationError(
                _("The key could not be checked: %(why)s. Please try again."),
                params={"why": error},
            ) from error
        return key
