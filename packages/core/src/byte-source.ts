/** Bytes that are read a part at a time: a file, something behind a URL, a Blob, memory. Not a format: what the bytes mean is for its readers. */

export interface ReadOptions {
  /** Bytes read so far, and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Ends the reading: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface SourceReadOptions {
  /** So many bytes more have come. */
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Memory of the caller's that the bytes may be put into, where they fit and the source can: they are then a view of it. */
  readonly into?: Uint8Array<ArrayBuffer> | undefined;
}

export interface ByteSource {
  /** Names it in errors. */
  readonly where: string;
  readonly size: number;
  /** Exactly the bytes from `begin` up to `end`, where 0 ≤ begin ≤ end ≤ size; not to be written to. Rejects with a CodaError of kind `unreadable`. */
  read(begin: number, end: number, options?: SourceReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Bytes in memory, read without a copy. */
export function memorySource(bytes: Uint8Array, where: string): ByteSource {
  return {
    where,
    size: bytes.length,
    async read(begin, end, { onBytes } = {}) {
      onBytes?.(end - begin);
      return bytes.subarray(begin, end);
    },
    close: async () => undefined,
  };
}

/** A Blob, such as a file that a person chose in the browser. */
export function blobSource(blob: Blob): ByteSource {
  return {
    where: 'name' in blob && typeof blob.name === 'string' ? blob.name : 'blob',
    size: blob.size,
    async read(begin, end, { onBytes, signal } = {}) {
      signal?.throwIfAborted();
      const bytes = new Uint8Array(await blob.slice(begin, end).arrayBuffer());
      onBytes?.(bytes.length);
      return bytes;
    },
    close: async () => undefined,
  };
}
