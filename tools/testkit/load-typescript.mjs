/** The hook of `run-typescript.mjs`, which Node runs on a thread of its own. What was made of a file is kept: a compiler takes longer to load than most tests. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';

const kept = fileURLToPath(new URL('../../node_modules/.cache/coda-typescript/', import.meta.url));

/** @type {import('node:module').LoadHook} */
export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const source = await readFile(fileURLToPath(url), 'utf8');
  const path = join(kept, `${createHash('sha256').update(source).digest('hex')}.js`);
  const code = await readFile(path, 'utf8').catch(() => transpiled(source, path));
  return { format: 'module', source: code, shortCircuit: true };
}

async function transpiled(/** @type {string} */ source, /** @type {string} */ path) {
  const { default: ts } = await import('typescript');
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true };
  const { outputText } = ts.transpileModule(source, { compilerOptions });
  await mkdir(kept, { recursive: true });
  const beside = `${path}.${process.pid}-${threadId}`;
  await writeFile(beside, outputText);
  await rename(beside, path);
  return outputText;
}
