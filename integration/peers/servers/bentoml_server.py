"""BentoML: a service with one worker and all models. BENTO_CONCURRENCY is max_concurrency:
what is more is refused at once. The header X-Model names the model."""
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

import session

Raw = Annotated[bytes, ContentType("application/octet-stream")]


@bentoml.service(
    workers=1,
    threads=1,
    traffic={"timeout": 60, "max_concurrency": session.setting("BENTO_CONCURRENCY", 12)},
    logging={"access": {"enabled": False}},
)
class Service:
    def __init__(self):
        self.sessions = {name: session.open_session(name) for name in session.NAMES}

    @bentoml.api(route="/predict")
    def predict(self, data: Raw, /, ctx: bentoml.Context) -> Raw:
        model = self.sessions[ctx.request.headers["x-model"]]
        return session.infer(model, session.tensor(data)).tobytes()
