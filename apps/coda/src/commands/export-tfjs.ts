/** `coda export` of a model of TensorFlow.js. */
import type { ArraySpec } from '@coda-nets/core';
import { writeOnnx } from '@coda-nets/onnx/node';
import { InvalidArgumentError, type Command } from 'commander';
import { ioOf, usageError, type CommonOptions } from '../define-command.ts';
import { exportTfjsModel } from '../export-tfjs-model.ts';
import { openTfjsModel } from '../open-tfjs-model.ts';
import { projectVersion } from '../project-version.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

export interface TfjsExportFlags extends CommonOptions {
  readonly out: string;
  readonly opset: number;
  readonly externalData?: true;
  readonly shape?: Shapes;
}

type Shapes = Readonly<Record<string, ArraySpec['shape']>>;

/** Options that are about networks of this project. */
const ofNetworks = ['explain', 'taps', 'residuals', 'probabilities', 'input', 'dtype'];

export async function exportTfjs(path: string, flags: TfjsExportFlags, command: Command): Promise<void> {
  const foreign = ofNetworks.filter((name) => command.getOptionValueSource(name) === 'cli');
  if (foreign.length > 0) {
    throw usageError(`export: --${foreign[0]}`, `${path} is a model of TensorFlow.js, whose inputs and outputs stay as they are`);
  }
  const io = ioOf(flags);
  await refuseOverwriting('export: --out', [flags.out, `${flags.out}.data`], [path]);
  io.begin(`tracing ${path}`);
  const model = await openTfjsModel(path, { shapes: flags.shape ?? {} });
  const { opset } = flags;
  const { graph, modelOptions, inputs, outputs } = exportTfjsModel(model, { opset, version: projectVersion });
  const { files, bytes } = await writeOnnx(flags.out, graph, { ...modelOptions, ...(flags.externalData && { externalData: true }) });
  io.say(`${files.join(' and ')}: ${(bytes / 1e6).toFixed(2)} MB, inputs ${inputs.join(', ')}, outputs ${outputs.join(', ')}`);
  io.result({ file: flags.out, bytes, inputs, outputs, opset, ...(files.length > 1 && { files }) });
}

/** Parses `NAME=batch,64,64,3`; several add up. */
export function inputShape(text: string, before: Shapes = {}): Shapes {
  const at = text.lastIndexOf('=');
  const sizes = text
    .slice(at + 1)
    .split(',')
    .map((size) => (/^\d+$/.test(size) ? Number(size) : size.trim()));
  if (at < 1 || sizes.some((size) => size === '' || size === 0))
    throw new InvalidArgumentError('Expected NAME=SIZE,SIZE,…, such as image=batch,224,224,3.');
  return { ...before, [text.slice(0, at)]: sizes };
}
