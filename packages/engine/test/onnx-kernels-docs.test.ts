/** docs/onnx-kernels.md is made from the registry of the tracer, and from what its kernels record in the conformance suite. After a change: vitest -u. */
import { fileURLToPath } from 'node:url';
import { groupedConvKernels } from '@coda-nets/core';
import { kernelSupport, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { casesOf } from './conformance/operation.ts';
import { operations } from './conformance/operations.ts';
import { place, specsOf } from './conformance/run-cases.ts';

const BACKEND = 'coda-recording';
/** Moving data into place is not part of what a kernel is made of. */
const movement = new Set(['Transpose', 'Reshape', 'Expand']);

type Emit = (op: string, ...rest: unknown[]) => unknown;
type Recording = { readonly builder: { emit: Emit } };

/** The operators that each kernel records, from here on. */
function watchKernels(): Map<string, Set<string>> {
  const operators = new Map<string, Set<string>>();
  for (const config of tf.getKernelsForBackend(BACKEND)) {
    const seen = new Set<string>();
    operators.set(config.kernelName, seen);
    tf.unregisterKernel(config.kernelName, BACKEND);
    tf.registerKernel({
      ...config,
      kernelFunc: (params) => {
        const { builder } = params.backend as Recording;
        const { emit } = builder;
        builder.emit = (op, ...rest) => {
          if (!movement.has(op)) seen.add(op);
          return emit.call(builder, op, ...rest);
        };
        try {
          return config.kernelFunc(params);
        } finally {
          builder.emit = emit;
        }
      },
    });
  }
  return operators;
}

beforeAll(async () => {
  await useBackend('cpu');
  tf.dispose(tf.add(1, 2));
  tf.env().set('IS_TEST', false);
});

it('docs/onnx-kernels.md says of every kernel what it becomes, or why it does not', async () => {
  const operators = watchKernels();
  for (const operation of operations) {
    for (const sample of fc.sample(casesOf(operation), { seed: 4, numRuns: 6 })) {
      const { inputs, run } = place({ ...sample, guises: [] }, '');
      trace(run, { inputs: specsOf(inputs) });
    }
  }
  const support = kernelSupport();
  expect(support.filter(({ reason }) => reason === 'not known here')).toEqual([]);
  const recorded = support.filter(({ reason }) => reason === undefined);
  const grouped = Object.values(groupedConvKernels);
  const rows = recorded.map(({ kernelName }) => {
    const ops = [...(operators.get(kernelName) ?? [])].toSorted((a, b) => a.localeCompare(b, 'en'));
    const how = ops.length > 1 ? 'by lowering' : 'supported';
    return `| \`${kernelName}\` | ${how} | ${ops.join(', ') || 'none: constants, reshapes and transposes at most'} |`;
  });
  const missing = support.filter(({ reason }) => reason !== undefined).map(({ kernelName, reason }) => `| \`${kernelName}\` | ${reason} |`);
  const text = [
    '# Kernels of TensorFlow.js as ONNX operators',
    '',
    `Made from the registry of \`@coda-nets/onnx\` by \`packages/engine/test/onnx-kernels-docs.test.ts\`: ${recorded.length - grouped.length - 1} kernels of TensorFlow.js ${tf.version_core} are recorded, ${missing.length} are not; ${grouped.length} more are those of \`groupedConv2d\` and one that of \`meanOverRanks\` in \`@coda-nets/core\`.`,
    'The conformance suite beside it holds every one that is recorded against the cpu backend of TensorFlow.js, with its gradient where TensorFlow.js has one.',
    '',
    'Operators are those of opset 17. Transposes, reshapes and expansions that bring data into place are left out: they depend on what lies where.',
    '',
    'The graph differs from the cpu backend on purpose in these places:',
    '',
    '- the gradient of average pooling divides by the number of elements in each window, as the mean does; the cpu backend divides by the size of the window at a padded border too;',
    '- the gradients of resizing take `halfPixelCenters` into account, images that are not square, and more than one image;',
    '- `topk` sorts always, also with `sorted` false;',
    '- whole numbers: products and powers beyond 2⁵³ are exact before they wrap around, and `abs` is beyond 2²⁴, where the cpu backend rounds to the digits of a float; `unsortedSegmentSum` of int32 is int32, not float32;',
    '- a cast to int32 of NaN, of an infinity or of what an int32 does not hold is left to the runtime, as in TensorFlow; the largest of a window that holds NaN too.',
    '',
    '## Recorded',
    '',
    'By lowering: more operators than one, all at once or one or the other by dtype, shape and attributes.',
    '',
    '| kernel | how | ONNX operators |',
    '| --- | --- | --- |',
    ...rows,
    '',
    '## Not recorded',
    '',
    'Tracing a function that runs one of these is an error that names the kernel, what it was given, and the place in the function.',
    '',
    '| kernel | why |',
    '| --- | --- |',
    ...missing,
    '',
  ].join('\n');
  await expect(text).toMatchFileSnapshot(fileURLToPath(new URL('../../../docs/onnx-kernels.md', import.meta.url)));
});
