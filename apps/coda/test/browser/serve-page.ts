/** The page of the browser test on a local port: bundled from source, with an ONNX file and onnxruntime-web's files beside it. */
import { build } from 'esbuild';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const onnxruntime = dirname(fileURLToPath(import.meta.resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm')));
const types: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
};

export interface ServedPage {
  readonly url: string;
  close(): Promise<void>;
}

export async function servePage(onnx: Uint8Array): Promise<ServedPage> {
  const bundle = await build({
    entryPoints: [join(import.meta.dirname, 'page.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    conditions: ['@coda-nets/source', 'onnxruntime-web-use-extern-wasm'],
    // pictures are drawn in Node alone: whoever draws none has no sharp in the bundle
    external: ['sharp'],
    logLevel: 'silent',
  });
  const pages: Readonly<Record<string, Uint8Array | string>> = {
    '/': '<!doctype html><script type="module" src="/page.js"></script>',
    '/page.js': bundle.outputFiles[0]?.contents ?? '',
    '/hybrid.onnx': onnx,
  };
  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    const content = pages[path] ?? readFile(join(onnxruntime, basename(path)));
    Promise.resolve(content).then(
      (body) =>
        response
          .setHeader('content-type', types[path === '/' ? 'html' : (path.split('.').at(-1) ?? '')] ?? 'application/octet-stream')
          .end(body),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
