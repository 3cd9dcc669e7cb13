#!/usr/bin/env python3
"""Golden images: every operation of the augmentation policies on one image, and awkward files with what they are decoded to, from Pillow.

    python3 tools/goldens/images.py packages/train/test/golden

Needs Pillow and numpy. `images.json` says how; the same versions give the same bytes. Operations are Pillow's own (ImageOps, ImageEnhance, an affine
transform with nearest neighbours), so nothing here repeats the code under test. Files and pixels stand in the JSON as base64.
"""
import base64
import hashlib
import io
import json
import pathlib
import sys

import numpy
import PIL
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

SEED = 2109
HEIGHT, WIDTH = 41, 54


def picture(height, width, random):
    """Waves of each colour, a box, and noise: every value occurs, and edges do."""
    y, x = numpy.mgrid[0:height, 0:width]
    waves = [120 + 90 * numpy.sin(x / (5 + 3 * c) + c) * numpy.cos(y / (7 + 2 * c)) for c in range(3)]
    image = numpy.stack(waves, -1) + random.normal(0, 6, (height, width, 3))
    image[height // 4 : height // 2, width // 3 : width // 2] = [250, 20, 60]
    return Image.fromarray(numpy.clip(image, 30, 235).astype("u1"))


def affine(matrix):
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def solarize_add(addition):
    table = [min(255, v + addition) if v < 128 else v for v in range(256)] * 3
    return lambda image: image.point(table)


def cutout(side, x, y):
    def cut(image):
        left, top = int(max(0, x - side / 2)), int(max(0, y - side / 2))
        right, bottom = int(min(image.width, left + side)), int(min(image.height, top + side))
        image = image.copy()
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), (125, 123, 114))
        return image

    return cut


OPERATIONS = {
    "autoContrast": ([], lambda: ImageOps.autocontrast),
    "equalize": ([], lambda: ImageOps.equalize),
    "invert": ([], lambda: ImageOps.invert),
    "posterize": ([[1], [3], [4], [7]], lambda bits: lambda image: ImageOps.posterize(image, bits)),
    "solarize": ([[0], [85.3], [128], [256]], lambda threshold: lambda image: ImageOps.solarize(image, threshold)),
    "solarizeAdd": ([[0], [36], [110]], solarize_add),
    "colour": ([[0.1], [0.7], [1.9]], lambda f: lambda image: ImageEnhance.Color(image).enhance(f)),
    "contrast": ([[0.1], [0.7], [1.9]], lambda f: lambda image: ImageEnhance.Contrast(image).enhance(f)),
    "brightness": ([[0.1], [0.7], [1.9]], lambda f: lambda image: ImageEnhance.Brightness(image).enhance(f)),
    "sharpness": ([[0.1], [0.7], [1.9]], lambda f: lambda image: ImageEnhance.Sharpness(image).enhance(f)),
    "rotate": ([[10], [-30], [97.5]], lambda d: lambda image: image.rotate(d, Image.Resampling.NEAREST)),
    "shearX": ([[0.1], [-0.3]], lambda s: affine((1, s, 0, 0, 1, 0))),
    "shearY": ([[0.1], [-0.3]], lambda s: affine((1, 0, 0, s, 1, 0))),
    "translateX": ([[7], [-13.4]], lambda p: affine((1, 0, p, 0, 1, 0))),
    "translateY": ([[7], [-13.4]], lambda p: affine((1, 0, 0, 0, 1, p))),
    "cutout": ([[13.3, 20.6, 11.2], [40, 2.5, 39]], cutout),
}


def text(data):
    return base64.b64encode(data).decode()


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(image):
    return {"height": image.height, "width": image.width, "pixels": text(image.convert("RGB").tobytes())}


def files(random):
    """Name, bytes, and what they show; None where nothing can be made of them."""
    large = picture(150, 210, random)
    small = picture(40, 30, random)
    whole = encoded(large, "JPEG", quality=90, subsampling=0)
    sixteen = numpy.asarray(small.convert("L")).astype("u2") * 257
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "plain.jpg", whole, large
    yield "grey.jpg", encoded(large.convert("L"), "JPEG", quality=92), large.convert("L")
    yield "grey.png", encoded(small.convert("L"), "PNG"), small.convert("L")
    yield "sixteen-bit.png", encoded(Image.fromarray(sixteen), "PNG"), small.convert("L")
    yield "palette.png", encoded(small.quantize(64), "PNG"), small.quantize(64)
    yield "alpha.png", encoded(small.convert("RGBA"), "PNG"), small
    yield "animated.webp", encoded(small, "WEBP", save_all=True, append_images=[ImageOps.invert(small)], lossless=True), small
    yield "turned.jpg", encoded(large, "JPEG", quality=90, subsampling=0, exif=turned), large.transpose(Image.Transpose.ROTATE_270)
    yield "png-named.jpg", encoded(small, "PNG"), small
    yield "cmyk.jpg", encoded(large.convert("CMYK"), "JPEG", quality=95), large
    yield "cut.jpg", whole[: len(whole) // 2], None
    yield "cut.png", encoded(small, "PNG")[:-300], None
    yield "empty.jpg", b"", None
    yield "text.jpg", b"<html>404 not found</html>", None
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', None


def decoded(data, shown):
    """Of a JPEG what Pillow makes of it: the format loses. Orientation applied."""
    image = Image.open(io.BytesIO(data))
    return ImageOps.exif_transpose(image) if image.format == "JPEG" else shown


def crops(image):
    """torchvision's Resize(side) and CenterCrop, and a resized box, in Pillow's terms."""
    scale = 48 / min(image.size)
    resized = image.resize((int(image.width * scale + 1e-9), int(image.height * scale + 1e-9)), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 40) / 2), round((resized.height - 40) / 2)
    yield "resize 48, centre 40", resized.crop((left, top, left + 40, top + 40))
    yield "small box", image.crop((31, 17, 31 + 70, 17 + 60)).resize((40, 40), Image.Resampling.BILINEAR)
    yield "large box", image.crop((30, 18, 30 + 120, 18 + 80)).resize((40, 40), Image.Resampling.BILINEAR)


def main(folder):
    random = numpy.random.default_rng(SEED)
    image = picture(HEIGHT, WIDTH, random)
    operations = []
    for name, (arguments, operation) in OPERATIONS.items():
        for given in arguments or [[]]:
            operations.append({"name": name, "arguments": given, "pixels": text(operation(*given)(image).tobytes())})
    made = [{"name": name, "bytes": text(data), **({} if shown is None else pixels(decoded(data, shown)))} for name, data, shown in files(random)]
    source = picture(150, 210, random)
    body = {
        "image": pixels(image),
        "operations": operations,
        "files": made,
        "crops": {"png": text(encoded(source, "PNG")), "made": [{"name": name, **pixels(crop)} for name, crop in crops(source)]},
    }
    manifest = {
        "generator": "tools/goldens/images.py",
        "versions": {"Pillow": PIL.__version__, "numpy": numpy.__version__},
        "seed": SEED,
        "sha256": hashlib.sha256(json.dumps(body).encode()).hexdigest(),
    }
    pathlib.Path(folder, "images.json").write_text(json.dumps({**manifest, **body}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
