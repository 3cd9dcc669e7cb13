/** `coda export` */
import { opsets } from '@coda-nets/onnx';
import { writeOnnx } from '@coda-nets/onnx/node';
import { Option, type Command } from 'commander';
import { codaCommand } from '../coda-command.ts';
import { defineCommand, ioOf, nameList, oneOf, usageError } from '../define-command.ts';
import { exportTfjs, inputShape, type TfjsExportFlags } from './export-tfjs.ts';
import { exportGraph, OPSET } from '../export-network.ts';
import { openModel } from '../open-model.ts';
import { tfjsModelPath } from '../open-tfjs-model.ts';
import { projectVersion } from '../project-version.ts';
import { quoted } from '../quoted.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

interface Options extends Omit<TfjsExportFlags, 'opset'> {
  readonly explain?: true;
  readonly taps?: readonly string[];
  readonly residuals?: true;
  readonly probabilities?: true;
  readonly externalData?: true;
  readonly resize?: true;
  readonly opset: string;
  readonly input: 'nchw' | 'nhwc';
  readonly dtype: 'float32' | 'uint8';
}

export function exportCommand(): Command {
  return defineCommand(
    'export',
    'one ONNX file: the classifier, and with --explain its explanation',
    'export runs/demo/hybrid.safetensors --out hybrid.onnx --explain',
  )
    .argument('<model>', 'a model file, or model.json of a TensorFlow.js model (or its folder)')
    .requiredOption('--out <file>', 'the ONNX file')
    .option('--explain', 'add the input target (−1: the top class) and the contribution maps')
    .option('--taps <names>', 'taps with a map of their own, between commas (default: every exact one)', nameList)
    .option('--residuals', 'beside each map, how far its sum is from logit − logit_bias, relative to that')
    .option('--probabilities', 'the output probabilities too')
    .option('--input <layout>', 'nchw or nhwc', oneOf('nchw', 'nhwc'), 'nhwc')
    .option('--dtype <type>', 'float32 in [0, 1] or uint8', oneOf('float32', 'uint8'), 'float32')
    .addOption(new Option('--resize', 'refused: no ONNX operator scales images as this command does').hideHelp())
    .option('--opset <n>', `ONNX opset, ${opsets[0]} to ${opsets.at(-1)}`, oneOf(...opsets.map(String)), String(OPSET))
    .option('--external-data', 'the weights in <file>.data beside it (default: only where one file cannot hold them, from 2 GB)')
    .option('--shape <name=sizes>', 'of an input of a TensorFlow.js model: image=batch,224,224,3 (default: its own)', inputShape)
    .action(async (path: string, options: Options, command: Command) => {
      if (options.resize !== undefined) {
        throw usageError(
          'export: --resize',
          'no ONNX operator scales images as this command does: bytes differ by 1 on average at half the size, by up to 72; scale them before, as the metadata "preprocessing" of the file says',
        );
      }
      const opset = Number(options.opset);
      const tfjs = tfjsModelPath(path);
      if (tfjs !== undefined) return exportTfjs(tfjs, { ...options, opset }, command);
      if (options.shape !== undefined) throw usageError('export: --shape', 'for models of TensorFlow.js alone');
      const io = ioOf(options);
      for (const name of ['taps', 'residuals'] as const) {
        if (options[name] !== undefined && options.explain === undefined) {
          throw usageError(`export: --${name}`, 'without --explain there are no maps');
        }
      }
      await refuseOverwriting('export: --out', [options.out, `${options.out}.data`], [path]);
      const { network, model } = await openModel(path);
      io.begin('tracing the network');
      const { graph, modelOptions } = exportGraph(network, model, { ...options, opset, version: projectVersion });
      const { files, bytes } = await writeOnnx(options.out, graph, {
        ...modelOptions,
        ...(options.externalData && { externalData: true }),
      });
      const outputs = Object.keys(graph.outputs);
      io.say(`${files.join(' and ')}: ${(bytes / 1e6).toFixed(2)} MB, outputs ${outputs.join(', ')}`);
      io.say(`next: ${codaCommand()} verify ${quoted(options.out)} --model ${quoted(path)}`);
      io.result({ file: options.out, bytes, outputs, opset, ...(files.length > 1 && { files }) });
    });
}
