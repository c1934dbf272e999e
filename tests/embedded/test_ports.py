import socket

import pytest

from app.embedded.errors import PlatformError
from app.embedded.ports import free_port, is_free, require_free


class TestRequireFree:
    def test_a_busy_port_is_named_with_its_owner_and_its_setting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with pytest.raises(PlatformError) as refused:
                require_free({"RELAY_API_PORT": ("127.0.0.1", port)})
        assert f"port {port} on 127.0.0.1 is busy (process " in str(refused.value)
        assert "set RELAY_API_PORT to a free port" in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_a_port_given_to_two_parts_is_named_with_both_settings(self) -> None:
        port = free_port()
        with pytest.raises(PlatformError, match="RELAY_API_PORT and RELAY_SIMULATOR_PORT are both"):
            require_free({"RELAY_API_PORT": ("127.0.0.1", port), "RELAY_SIMULATOR_PORT": ("127.0.0.1", port)})

    def test_free_ports_pass(self) -> None:
        require_free({"RELAY_API_PORT": ("127.0.0.1", free_port()), "RELAY_SIMULATOR_PORT": ("0.0.0.0", free_port())})


class TestIsFree:
    def test_a_listener_on_every_address_is_in_the_way_of_one(self) -> None:
        with socket.create_server(("0.0.0.0", 0)) as server:
            assert not is_free("127.0.0.1", server.getsockname()[1])
