"""Calls a server by a client that openapi-python-client generated. Arguments: the address and a token."""

import base64
import hashlib
import importlib
import io
import sys
import uuid

from generated import AuthenticatedClient, models
from generated.types import File

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
image = open("photo.png", "rb").read()
digest = hashlib.sha256(image).hexdigest()
text = base64.b64encode(image).decode()


def file():
    return File(payload=io.BytesIO(image), file_name="photo.png", mime_type="image/png")


def call(name, **arguments):
    operation = importlib.import_module(f"generated.api.{name}")
    print(name, int(operation.sync_detailed(client=client, **arguments).status_code))


call("cutouts.create_cutout", body=file())
call("cutouts.create_cutout", body=models.CreateCutoutFilesBody(file=file(), size="20x"))
call(
    "cutouts.create_cutout",
    body=models.CreateCutoutJsonBody(image_base64=text, crop=True),
    format_=models.CreateCutoutFormat.WEBP,
)
call("cutouts.create_cutout", body=models.CreateCutoutDataBody(image_base64=text), quality=50)
call("cutouts.get_cutout", image=digest, background="white")
call("cutouts.get_job", id=str(uuid.uuid4()))
call("cutouts.predict", body=models.PredictBody(file_path="a.png", img_base64=text))
options = models.PredictBodyOptions(crop=True)
call("cutouts.predict", body=models.PredictBody(file_path="a.png", img_base64=text, options=options))
call("rembg.rembg", body=models.RembgBody(file=file()))
# The generated client can read only the JSON of this response.
for body in [
    models.RemovebgFilesBody(image_file=file()),
    models.RemovebgJsonBody(image_file_b64=text),
    models.RemovebgDataBody(image_file_b64=text),
]:
    call("remove_bg.removebg", body=body, accept="application/json")
call("remove_bg.removebg_account")
call("cache.list_cache")
call("cache.delete_from_cache", image=digest)
call("cache.clear_cache")
for name in ["docs", "health", "liveness", "metadata", "metrics", "openapi", "readiness"]:
    call(f"service.get_{name}")
call("service.greet")
call("service.get_page_file", file="app.js")
