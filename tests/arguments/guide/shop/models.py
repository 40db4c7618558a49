"""The model the guide passes around."""

from django.db import models


class Order(models.Model):
    """Something ordered."""

    class Status(models.TextChoices):
        """How far the order is."""

        OPEN = "open"
        PAID = "paid"

    number = models.PositiveIntegerField(primary_key=True)

    def __str__(self) -> str:
        return f"No. {self.number}"
