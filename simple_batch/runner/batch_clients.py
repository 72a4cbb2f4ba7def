"""The clients of API configs' batch APIs, renewed when a config is edited."""

from ..core.context import Vault
from ..core.errors import ConfigurationError
from ..core.messages import translatable
from ..core.settings import Settings
from ..engine.batch_api.batch_client import BatchClient
from ..engine.batch_api.opening import open_client
from ..store.configs import endpoint_of
from ..store.models import ApiConfig


class BatchClients:
    def __init__(self, settings: Settings, vault: Vault):
        self._settings = settings
        self._vault = vault
        self._open: dict[tuple[int, int], BatchClient] = {}  # by id and time of the last change

    def of(self, config: ApiConfig) -> BatchClient:
        """Raises ConfigurationError where the config has no batch API, or its key cannot be opened."""
        key = config.id, config.updated_at
        client = self._open.get(key)
        if client is None:
            endpoint = endpoint_of(config, self._vault)
            client = open_client(endpoint, self._settings, config.batch_api)
            if client is None:
                raise ConfigurationError(
                    translatable(
                        "The connection “%(config)s” has no batch API. Choose another one for this job, or "
                        "set its batch API.",
                        config=config.alias,
                    )
                )
            self._open[key] = client
        return client

    def close(self) -> None:
        for client in self._open.values():
            client.close()
        self._open.clear()
