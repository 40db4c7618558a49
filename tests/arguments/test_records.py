"""Model instances travel as references and are read anew."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connection
from django.utils.functional import SimpleLazyObject
from pytest_django import DjangoAssertNumQueries

from errands.arguments import decode, decode_call, encode, encode_call
from errands.exceptions import ArgumentError, DecodeError, RecordGone
from tests.testapp.models import (
    Account,
    BusinessAccount,
    ClosedAccount,
    Order,
    OrderLine,
)

REFERENCE = UUID("5f2b9c6e-0f5c-4c3b-9d6e-0a1b2c3d4e5f")


@pytest.fixture
def account(db: None) -> Account:
    return Account.objects.create(name="Ada")


@pytest.fixture
def order(account: Account) -> Order:
    return Order.objects.create(reference=REFERENCE, account=account)


def test_an_instance_is_carried_as_label_primary_key_and_database(order: Order) -> None:
    wire = encode(order)

    assert wire == {"$": "model", "v": ["testapp.order", str(REFERENCE), "default"]}


def test_an_instance_is_read_anew(account: Account) -> None:
    wire = encode(account)
    Account.objects.update(name="Grace")

    arrived = decode(wire)

    assert arrived == account
    assert arrived.name == "Grace"


def test_proxies_children_and_composite_keys_arrive_as_what_they_were(
    account: Account, order: Order
) -> None:
    sent = [
        ClosedAccount.objects.get(pk=account.pk),
        BusinessAccount.objects.create(name="Ltd", vat_number="ATU1"),
        OrderLine.objects.create(order=order, position=2),
        Account.objects.only("pk").get(pk=account.pk),
    ]

    arrived = decode(encode(sent))

    assert arrived == sent
    assert [type(record) for record in arrived] == [
        *[ClosedAccount, BusinessAccount, OrderLine, Account]
    ]


def test_the_user_of_a_request_is_carried(db: None) -> None:
    user = User.objects.create(username="ada")
    lazy_as_in_a_request = SimpleLazyObject(lambda: user)

    arrived = decode(encode(lazy_as_in_a_request))

    assert type(arrived) is User
    assert arrived == user


def test_an_anonymous_user_is_refused() -> None:
    with pytest.raises(ArgumentError, match="AnonymousUser, and nobody has signed in"):
        encode(SimpleLazyObject(AnonymousUser))


def test_an_unsaved_instance_is_refused_with_the_remedy() -> None:
    with pytest.raises(ArgumentError) as refused:
        encode(Account(pk=42, name="Ada"))

    assert str(refused.value) == (
        "The value cannot be carried: this testapp.Account is not saved, so a worker "
        "could not find it. Save it first."
    )


def test_a_deleted_instance_is_refused(account: Account, order: Order) -> None:
    line = OrderLine.objects.create(order=order, position=1)
    line.delete()
    account.delete()

    for gone in (account, line):
        with pytest.raises(ArgumentError, match=r"is not saved, so a worker could"):
            encode(gone)


def test_all_records_of_a_call_are_read_with_one_query_per_model(
    account: Account, order: Order, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [Account.objects.create(name=f"No. {n}") for n in range(20)]
    args, kwargs = encode_call(
        [account, {"all": (*others, order)}], {"again": account, "order": order}
    )

    with django_assert_num_queries(2):
        arrived_args, arrived_kwargs = decode_call(args, kwargs)

    assert arrived_args == [account, {"all": (*others, order)}]
    assert arrived_kwargs == {"again": account, "order": order}
    assert arrived_kwargs["again"] is arrived_args[0]


def test_a_dict_that_looks_like_a_reference_reads_nothing(
    account: Account, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    forged = {"$": "model", "v": ["testapp.account", str(account.pk), "default"]}

    with django_assert_num_queries(0):
        arrived = decode(encode([forged, {"inner": forged}]))

    assert arrived == [forged, {"inner": forged}]


def test_a_record_that_is_gone_is_named(account: Account) -> None:
    wire = encode([account])
    pk = account.pk
    account.delete()

    with pytest.raises(RecordGone) as gone:
        decode(wire)

    assert str(gone.value) == (
        f"testapp.account {pk} no longer exists in the database 'default'."
    )


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (["testapp.nothing", "1", "default"], "There is no model 'testapp.nothing'"),
        (["os.system", "1", "default"], "There is no model 'os.system' installed"),
        (["nonsense", "1", "default"], "There is no model 'nonsense' installed here."),
        (["testapp.account", "1", "mars"], "There is no database 'mars' in DATABASES"),
        (["testapp.account", "x", "default"], "'x' is not a primary key of testapp."),
        (["testapp.order", "x", "default"], "'x' is not a primary key of testapp.Ord"),
        (["testapp.account", 1, "default"], "A 'model' must be a list of label, prim"),
        ("testapp.account", "A 'model' must be a list of label, primary key, database"),
    ],
)
def test_a_reference_that_cannot_be_read_is_a_decode_error(
    reference: Any, reason: str
) -> None:
    with pytest.raises(DecodeError) as unreadable:
        decode({"$": "model", "v": reference})

    assert reason in str(unreadable.value)


def test_a_database_that_is_unavailable_is_not_a_record_that_is_gone(
    account: Account,
) -> None:
    wire = encode(account)

    def unavailable(*_: Any) -> None:
        raise OperationalError("the server is starting up")

    with (
        connection.execute_wrapper(unavailable),
        pytest.raises(OperationalError, match=r"^the server is starting up$"),
    ):
        decode(wire)
