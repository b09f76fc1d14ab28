"""One index behind HTTP (``pip install 'ipaq-index[serve]'``).

    python -m ipaq_index.serve vectors.ipaq --api-key-file keys.txt

`docs/service.md` tells the routes and limits. FastAPI and uvicorn are imported when a service is made.
"""

from ipaq_index.serve.keys import KeyRing
from ipaq_index.serve.limits import Limits
from ipaq_index.serve.service import create_app

__all__ = ["KeyRing", "Limits", "create_app"]
