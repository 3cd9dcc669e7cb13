/** One way to open a safetensors file wherever it is: by URL or as a Blob here, by path too in `@coda-nets/core/node`; whole, or split with an index. */
import { blobSource, type ByteSource } from './byte-source.ts';
import { CodaError } from './errors.ts';
import { fetchSource, type FetchOptions } from './fetch-source.ts';
import { readHeader, safetensorsFile, type SafetensorsFile } from './safetensors-file.ts';
import { isIndex, openIndex, type OpenSibling } from './safetensors-index.ts';

/**
 * Opens a safetensors file, or a `model.safetensors.index.json` and the files beside it, and reads the headers. A URL is read by range requests; a
 * relative one is resolved against the page. Close the file after use.
 * Rejects with a CodaError: `unreadable` where the bytes cannot be had, `malformed` or `unsupported` where they are not what they should be; with the
 * signal's reason where it ends the reading.
 */
export async function openSafetensors(location: string | URL | Blob, options: FetchOptions = {}): Promise<SafetensorsFile> {
  if (location instanceof Blob) return openSource(blobSource(location), noSiblings(location), options.signal);
  const url = absoluteUrl(location);
  const openSibling = (name: string): Promise<ByteSource> => {
    const sibling = new URL(encodeURIComponent(name), url);
    // a token that opens the index opens the files beside it
    sibling.search = url.search;
    return fetchSource(sibling, options);
  };
  return openSource(await fetchSource(url, options), openSibling, options.signal);
}

/** Takes the source over: it is closed with the file, or here where there is none. */
export async function openSource(source: ByteSource, openSibling: OpenSibling, signal?: AbortSignal): Promise<SafetensorsFile> {
  const { where, size } = source;
  let kept = false;
  try {
    if (isIndex(await source.read(0, Math.min(size, 8), { signal }))) return await openIndex(source, openSibling, signal);
    const { metadata, places } = await readHeader(source, signal);
    kept = true;
    return safetensorsFile({ metadata, tensors: places.map((place) => ({ ...place, source })), where, sources: [source] });
  } finally {
    if (!kept) await source.close();
  }
}

function noSiblings(blob: Blob): OpenSibling {
  return async () => {
    throw new CodaError({
      kind: 'unsupported',
      where: blobSource(blob).where,
      problem: 'an index alone cannot be read from a Blob: the files beside it are not there',
      hint: 'Open each .safetensors file by itself.',
    });
  };
}

function absoluteUrl(location: string | URL): URL {
  const page = globalThis as { readonly document?: { readonly baseURI: string }; readonly location?: { readonly href: string } };
  try {
    return new URL(location, page.document?.baseURI ?? page.location?.href);
  } catch (cause) {
    throw new CodaError({
      kind: 'argument',
      where: 'openSafetensors',
      problem: 'not a URL',
      got: JSON.stringify(String(location).slice(0, 80)),
      hint: 'A path is opened by openSafetensors of @coda-nets/core/node.',
      cause,
    });
  }
}
