"""Messages between the processes of a job, from any thread, whatever devices and main threads do."""

from typing import Any

_TIMEOUT = 60_000  # milliseconds until a process that does not answer counts as gone


class ChannelError(Exception):
    """A process does not answer."""


class Channel:
    """The key-value store that the processes of a job share. It exists after `initialize_distributed`."""

    def __init__(self, name: str) -> None:
        """Opens a channel.

        Args:
          name: of the channel; the keys of different channels are different.
        """
        import jax
        from jax._src import distributed  # JAX has no public access to its store; Orbax uses it in the same way

        self._name, self.index, self.count = name, jax.process_index(), jax.process_count()
        self._client: Any = distributed.global_state.client

    def post(self, key: str, value: str) -> None:
        """Stores a value. A later value of the same key replaces it. Raises ChannelError."""
        try:
            self._client.key_value_set(f"{self._name}/{key}", value, allow_overwrite=True)
        except RuntimeError as error:
            raise ChannelError(str(error)) from error

    def read(self, key: str) -> str | None:
        """Returns the value of a key, None if nobody posted it. Raises ChannelError."""
        try:
            value: str = self._client.key_value_try_get(f"{self._name}/{key}")
        except RuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise ChannelError(str(error)) from error
        return value

    def gather(self, key: str, value: str) -> list[str]:
        """Returns the values that all processes give here, in their order; waits for them. Raises ChannelError."""
        self.post(f"{key}/{self.index}", value)
        try:
            return [
                self._client.blocking_key_value_get(f"{self._name}/{key}/{index}", _TIMEOUT)
                for index in range(self.count)
            ]
        except RuntimeError as error:
            raise ChannelError(str(error)) from error
