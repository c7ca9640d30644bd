"""Messages between the processes of a job, from any thread, whatever devices and main threads do."""

from typing import Any

_TIMEOUT = 60_000  # milliseconds until a process that does not answer counts as gone
_FOREVER = 30 * 24 * 3600 * 1000  # milliseconds; the service takes no infinity


def connection() -> Any:
    """Returns jax's `client`, `process_id` and `num_processes`, which are known before there are devices."""
    from jax._src import distributed  # no public function has them; Orbax uses it in the same way

    return distributed.global_state


class ChannelError(Exception):
    """A process does not answer."""


class Channel:
    """Keys and values in the store that the processes of a job share. It exists after `initialize_distributed`.

    All methods raise ChannelError if the store cannot be reached.
    """

    def __init__(self, name: str) -> None:
        """Opens a channel.

        Args:
          name: of the channel; the keys of different channels are different.
        """
        joined = connection()
        self._name, self._client = f"i2v_jax/{name}", joined.client
        self.index, self.count = joined.process_id, joined.num_processes

    def post(self, key: str, value: str) -> None:
        """Stores a value. A later value of the same key replaces it."""
        self._set(key, value, replace=True)

    def post_first(self, key: str, value: str) -> None:
        """Stores a value, unless the key has one."""
        try:
            self._set(key, value, replace=False)
        except ChannelError as error:
            if "ALREADY_EXISTS" not in str(error):
                raise

    def _set(self, key: str, value: str, *, replace: bool) -> None:
        try:
            self._client.key_value_set(f"{self._name}/{key}", value, allow_overwrite=replace)
        except RuntimeError as error:
            raise ChannelError(str(error)) from error

    def read(self, key: str) -> str | None:
        """Returns the value of a key, None if nobody posted it."""
        try:
            value: str = self._client.key_value_try_get(f"{self._name}/{key}")
        except RuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise ChannelError(str(error)) from error
        return value

    def wait_for(self, key: str, timeout: int = _FOREVER) -> str:
        """Returns the value of a key, once somebody has posted it.

        Args:
          key: of the value.
          timeout: milliseconds after which nobody will.
        """
        try:
            value: str = self._client.blocking_key_value_get(f"{self._name}/{key}", timeout)
        except RuntimeError as error:
            raise ChannelError(str(error)) from error
        return value

    def gather(self, key: str, value: str) -> list[str]:
        """Returns the values that all processes give here, in their order; waits for them."""
        self.post(f"{key}/{self.index}", value)
        return [self.wait_for(f"{key}/{index}", _TIMEOUT) for index in range(self.count)]

    def meet(self, key: str) -> None:
        """Waits until all processes are here, however long it takes. A key serves once."""
        try:
            self._client.wait_at_barrier(f"{self._name}/{key}", _FOREVER)
        except RuntimeError as error:
            raise ChannelError(str(error)) from error
