"""Models the tests pass around."""

from uuid import uuid4

from django.db import models


class Account(models.Model):
    """Somebody who orders."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class ClosedAccount(Account):
    """An account seen through a proxy model."""

    class Meta:
        proxy = True


class BusinessAccount(Account):
    """An account with a table of its own, joined to its parent's."""

    vat_number = models.CharField(max_length=20)


class Order(models.Model):
    """Something ordered; its primary key is a UUID."""

    class Status(models.TextChoices):
        """How far the order is."""

        OPEN = "open"
        PAID = "paid"

    reference = models.UUIDField(primary_key=True, default=uuid4)
    account = models.ForeignKey(Account, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return str(self.reference)


class OrderLine(models.Model):
    """One line of an order; its primary key is composite."""

    pk = models.CompositePrimaryKey("order_id", "position")
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    position = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.order} {self.position}"
