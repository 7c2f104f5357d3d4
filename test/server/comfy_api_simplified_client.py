"""Calls of comfy-api-simplified as its README has them, against the server at the given address. Prints one line of JSON."""

import json
import struct
import sys

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

address, workflow_path, picture = sys.argv[1:4]
api = ComfyApiWrapper(address)
workflow = ComfyWorkflowWrapper(workflow_path)
workflow.set_node_param("KSampler", "steps", 2)
workflow.set_node_param("KSampler", "seed", 18446744073709551615)
images = api.queue_and_wait_images(workflow, "SaveImage")
sizes = [struct.unpack(">II", data[16:24]) for data in images.values()]
uploaded = api.upload_image(picture)
print(
    json.dumps(
        {
            "names": [name.split("/")[-1].split("?")[0] for name in images],
            "sizes": sizes,
            "uploaded": uploaded["name"],
            "nodes": "KSampler" in api.get_object_info("KSampler"),
            "embeddings": api.get_embeddings(),
            "queue": [len(rows) for rows in api.get_queue().values()],
        }
    )
)
