"""KServe's Python server: a model server with all models and one executing thread, so that
the event loop answers while a model executes."""
import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
import kserve
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse

import session

executor = ThreadPoolExecutor(1)


def stay_on_loopback():
    """KServe listens on every address of the machine, and has no option for that."""

    class Config(uvicorn.Config):
        def __init__(self, *args, host=None, **options):
            super().__init__(*args, host="127.0.0.1", **options)

    def make_server(*args, make=grpc.aio.server, **options):
        made = make(*args, **options)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(address.replace("[::]", "127.0.0.1"))
        return made

    uvicorn.Config = Config
    grpc.aio.server = make_server


class OnnxModel(kserve.Model):
    def __init__(self, name):
        super().__init__(name)
        self.session = session.open_session(name)
        self.ready = True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None):
        loop = asyncio.get_running_loop()
        pictures = payload.inputs[0].as_numpy()
        result = await loop.run_in_executor(executor, session.infer, self.session, pictures)
        output = InferOutput(name="prob", shape=list(result.shape), datatype="FP32")
        output.set_data_from_numpy(result, binary_data=True)
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    stay_on_loopback()
    kserve.logging.configure_logging()
    for name in ("uvicorn.access", "kserve.trace"):  # a line for each request otherwise
        logging.getLogger(name).setLevel(logging.ERROR)
    http_port, grpc_port = int(os.environ["HTTP_PORT"]), int(os.environ["GRPC_PORT"])
    server = kserve.ModelServer(http_port=http_port, grpc_port=grpc_port, workers=1, access_log_format=None)
    server.start([OnnxModel(name) for name in session.NAMES])
