/** A web server on this machine for a test: files in memory, with ranges or without, and what was asked of it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FileServer {
  readonly origin: string;
  /** Each request: path, query, and the bytes of its answer. */
  readonly requests: { readonly url: string; readonly range: string | undefined; readonly bytes: number }[];
  close(): Promise<void>;
}

export async function fileServer(files: Readonly<Record<string, Uint8Array>>, { ranges = true } = {}): Promise<FileServer> {
  const requests: FileServer['requests'] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    const file = files[url.split('?')[0] as string];
    const { range } = request.headers;
    const [first, last] = (/^bytes=(\d+)-(\d+)$/.exec(range ?? '')?.slice(1) ?? []).map(Number);
    if (file === undefined) {
      requests.push({ url, range, bytes: 0 });
      response.writeHead(404).end();
    } else if (!ranges || first === undefined || last === undefined) {
      requests.push({ url, range, bytes: file.length });
      response.writeHead(200, { 'content-length': file.length }).end(file);
    } else {
      const part = file.subarray(first, last + 1);
      requests.push({ url, range, bytes: part.length });
      const contentRange = `bytes ${first}-${first + part.length - 1}/${file.length}`;
      response.writeHead(206, { 'content-range': contentRange, 'content-length': part.length, etag: '"1"' }).end(part);
    }
  });
  // a connection that is closed while a slow machine asks for the next file would be an error
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
