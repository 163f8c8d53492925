"""A WebSocket server and client on the module `websockets`. `serve` prints its port and ends with
its standard input; `call ADDRESS CA` holds every kind of conversation (over TLS where CA is not
empty)."""

import ssl
import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve as listen

CLOSED = []
CLOSING = threading.Condition()


def echo(socket):
    """Sends back what comes; leaves with a code of its own where the path asks for it."""
    if socket.request.path == "/leave":
        socket.close(4321, "enough")
        return
    if socket.request.path == "/closed":
        with CLOSING:
            CLOSING.wait_for(lambda: CLOSED, 15)
            socket.send(CLOSED.pop() if CLOSED else "nobody left")
        return
    try:
        while True:
            message = socket.recv()
            # A list leaves as the fragments of one message.
            is_list = isinstance(message, str) and message.startswith("a list")
            socket.send(list(message) if is_list else message)
    except ConnectionClosed as closed:
        with CLOSING:
            if closed.rcvd and closed.rcvd.code != 1000:
                CLOSED.append(f"{closed.rcvd.code} {closed.rcvd.reason}")
                CLOSING.notify_all()


def serve():
    with listen(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.200} is not {wanted!r:.200}")


def call(address, ca):
    context = ssl.create_default_context(cafile=ca) if ca else None
    scheme = "wss" if ca else "ws"
    named = {"server_hostname": "a.test"} if ca else {}

    def open_socket(path, **more):
        return connect(
            f"{scheme}://{address}{path}", ssl=context, max_size=None, proxy=None, **named, **more
        )

    with open_socket("/", compression=None) as socket:
        for message in ["", "hello", "\u00e9t\u00e9", b"", b"\x00\xff" * 70, "x" * 70_000]:
            socket.send(message)
            same(socket.recv(timeout=20), message)
        large = bytes(range(256)) * 12_000
        socket.send(large)
        same(socket.recv(timeout=30) == large, True)
        socket.send(["in ", "three ", "pieces"])
        same(socket.recv(timeout=20), "in three pieces")
        socket.send("a list")
        same(socket.recv(timeout=20), "a list")
        for number in range(500):
            socket.send(str(number))
        same([socket.recv(timeout=20) for _ in range(500)], [str(n) for n in range(500)])
        same(socket.ping().wait(20), True)
    with open_socket("/") as socket:
        socket.send("compressed " * 1_000)
        same(socket.recv(timeout=20), "compressed " * 1_000)
    with open_socket("/leave") as socket:
        try:
            socket.recv(timeout=20)
            raise AssertionError("the server has not left")
        except ConnectionClosed as closed:
            same((closed.rcvd.code, closed.rcvd.reason), (4321, "enough"))
    with open_socket("/") as socket:
        socket.close(3001, "bye")
    with open_socket("/closed") as socket:
        same(socket.recv(timeout=20), "3001 bye")
    print("all is well")


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else call(sys.argv[2], sys.argv[3])
