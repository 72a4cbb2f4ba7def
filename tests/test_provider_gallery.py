"""The gallery: each entry says where its facts are from, and a misspelt name is answered with the
nearest."""

import pytest

from simple_batch.core.errors import NotFound
from simple_batch.services import provider_gallery


def test_a_misspelt_provider_names_the_nearest():
    assert provider_gallery.get("DeepSeek").name == "DeepSeek"
    with pytest.raises(NotFound, match="nearest is 'deepseek'"):
        provider_gallery.get("deepsek")
    with pytest.raises(NotFound, match=r"no provider .zzz.\."):
        provider_gallery.get("zzz")
