"""Ray Serve: a deployment with one replica, all models and one executing thread. RAY_ONGOING is
max_ongoing_requests, RAY_QUEUED max_queued_requests: what is more is refused at once."""
import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

HERE = os.path.dirname(os.path.abspath(__file__))
ONGOING = int(os.environ.get("RAY_ONGOING", 8))
QUEUED = int(os.environ.get("RAY_QUEUED", -1))


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=ONGOING,
    max_queued_requests=QUEUED,
    ray_actor_options={"num_cpus": 1},
)
class Models:
    def __init__(self):
        import session

        self.module = session
        self.sessions = {name: session.open_session(name) for name in session.NAMES}
        self.executor = ThreadPoolExecutor(1)

    async def __call__(self, request: Request):
        pictures = self.module.tensor(await request.body())
        model = self.sessions[request.headers["x-model"]]
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self.executor, self.module.infer, model, pictures)
        return Response(result.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        object_store_memory=256 << 20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": HERE}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Models.bind(), route_prefix="/predict")
    while True:
        time.sleep(3600)
