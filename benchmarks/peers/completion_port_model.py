"""Our completion-port model: the server that ``proactor serve`` runs, with its sessions counted."""

from __future__ import annotations

from benchmarks.peers.serving import announce
from proactor.models import MODELS


def main() -> None:
    """Serve with the workers that the model has by default."""
    server = MODELS["completion-port"]("127.0.0.1", 0)
    announce(server.address[1], server.stop)
    server.serve()


if __name__ == "__main__":
    main()
