"""A gRPC server and client whose messages are bytes. `serve` prints its port and ends with its
standard input; `call ADDRESS CA` makes every kind of call (over TLS where CA is not empty)."""

import sys
import threading
from concurrent import futures

import grpc

CANCELLED = threading.Event()


def echo(request, context):
    context.send_initial_metadata((("x-head", "h"),))
    context.set_trailing_metadata((("x-tail", "t"), ("x-tail-bin", b"\x00\xff")))
    return request


def collect(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def spread(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def talk(requests, context):
    yield from requests
    yield b"after"


def fail(request, context):
    context.set_trailing_metadata((("x-why", "nowhere"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "100 % of \u00e9t\u00e9")


def hold(request, context):
    context.add_callback(CANCELLED.set)
    yield b"held"
    CANCELLED.wait()


def cancelled(request, context):
    return b"yes" if CANCELLED.wait(15) else b"no"


def serve():
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Spread": grpc.unary_stream_rpc_method_handler(spread),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Hold": grpc.unary_stream_rpc_method_handler(hold),
        "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    CANCELLED.set()
    server.stop(0).wait()


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def call(address, ca):
    if ca:
        with open(ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        options = (("grpc.ssl_target_name_override", "a.test"),)
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        calls(channel)
    print("all is well")


def calls(channel):
    path = "/test.Calls/"
    unary = channel.unary_unary(path + "Echo")
    large = bytes(range(256)) * 12_000
    answer, done = unary.with_call(large, timeout=30)
    same(answer == large, True)
    same(dict(done.initial_metadata())["x-head"], "h")
    tail = dict(done.trailing_metadata())
    same((tail["x-tail"], tail["x-tail-bin"]), ("t", b"\x00\xff"))
    many = [unary.future(str(number).encode(), timeout=30) for number in range(100)]
    same([one.result() for one in many], [str(number).encode() for number in range(100)])
    answer = channel.stream_unary(path + "Collect")(iter([b"m" * 1000] * 100), timeout=30)
    same(answer, b"100000")
    answers = channel.unary_stream(path + "Spread")(b"200", timeout=30)
    same(list(answers), [str(number).encode() for number in range(200)])
    answers = channel.stream_stream(path + "Talk")(iter([b"a", b"b"]), timeout=30)
    same(list(answers), [b"a", b"b", b"after"])
    try:
        channel.unary_unary(path + "Fail")(b"", timeout=30)
        raise AssertionError("it fails")
    except grpc.RpcError as error:
        same((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "100 % of \u00e9t\u00e9"))
        same(dict(error.trailing_metadata())["x-why"], "nowhere")
    held = channel.unary_stream(path + "Hold")(b"", timeout=30)
    same(next(held), b"held")
    held.cancel()
    same(channel.unary_unary(path + "Cancelled")(b"", timeout=30), b"yes")


if sys.argv[1] == "serve":
    serve()
else:
    call(*sys.argv[2:])
