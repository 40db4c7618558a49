"""What a signature is asked for, and what it is not."""

import pytest

from errands import SignatureMismatch
from errands.tasks.signature import call_shape, call_signature, check_call


def test_annotations_may_name_what_only_type_checkers_know(send):
    shape = call_shape(send)
    with pytest.raises(SignatureMismatch) as mismatch:
        check_call(call_signature(send), [], {"acount": 1}, name="send")

    assert shape == (("account",), 0, 1)
    assert str(mismatch.value) == (
        "send(account=1, *, subject=''): it has no argument 'acount'. Did you mean "
        "'account'?"
    )
