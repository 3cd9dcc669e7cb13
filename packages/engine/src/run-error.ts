/** What ONNX Runtime says when a call fails, as a CodaError that names the node and its operator. */
import { CodaError } from '@coda-nets/core';

/** `where`: the file, or `run`. CodaErrors stay what they are. */
export function runError(where: string, cause: unknown): CodaError {
  if (CodaError.isInstance(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const [, op, node, status] = /while running (\S+) node\. Name:'([^']*)' Status Message: ([\s\S]*)/.exec(message) ?? [];
  return new CodaError({
    kind: 'numeric',
    where: op === undefined ? where : `${where}: node "${node}" (${op})`,
    problem: `ONNX Runtime stopped: ${firstLine(status ?? message)}`,
    cause,
  });
}

/** The same of a graph that ONNX Runtime does not take. */
export function compileError(cause: unknown): CodaError {
  if (CodaError.isInstance(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CodaError({
    kind: 'unsupported',
    where: 'compile',
    problem: `ONNX Runtime does not take the graph: ${firstLine(message)}`,
    hint: 'A function that TensorFlow.js runs and this does not is a defect: please report it. Until then an eager engine runs it.',
    cause,
  });
}

/** Without the files and lines of ONNX Runtime's source, and without what it prints behind. */
const firstLine = (text: string): string => (text.trim().split('\n')[0] as string).replace(/^(?:\S+\.(?:cc|h):\d+ )+/, '').slice(0, 400);
