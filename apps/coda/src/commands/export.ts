/** `coda export` */
import { writeFileAtomic } from '@coda-nets/core/node';
import type { Command } from 'commander';
import { codaCommand } from '../coda-command.ts';
import { defineCommand, ioOf, nameList, oneOf, usageError } from '../define-command.ts';
import { exportTfjs, inputShape, type TfjsExportFlags } from './export-tfjs.ts';
import { exportedTaps, exportNetwork, mapOutput, OPSET } from '../export-network.ts';
import { openModel } from '../open-model.ts';
import { tfjsModelPath } from '../open-tfjs-model.ts';
import { projectVersion } from '../project-version.ts';
import { quoted } from '../quoted.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

interface Options extends Omit<TfjsExportFlags, 'opset'> {
  readonly explain?: true;
  readonly taps?: readonly string[];
  readonly input: 'nchw' | 'nhwc';
  readonly dtype: 'float32' | 'uint8';
}

export function exportCommand(): Command {
  return defineCommand(
    'export',
    'one ONNX file: the classifier, and with --explain its explanation',
    'coda export runs/demo/hybrid.safetensors --out hybrid.onnx --explain',
  )
    .argument('<model>', 'a model file, or model.json of a TensorFlow.js model (or its folder)')
    .requiredOption('--out <file>', 'the ONNX file')
    .option('--explain', 'add the input target (−1: the top class) and the contribution maps')
    .option('--taps <names>', 'taps with a map of their own, between commas (default: every exact one)', nameList)
    .option('--input <layout>', 'nchw or nhwc', oneOf('nchw', 'nhwc'), 'nhwc')
    .option('--dtype <type>', 'float32 in [0, 1] or uint8', oneOf('float32', 'uint8'), 'float32')
    .option('--opset <n>', 'ONNX opset', oneOf(String(OPSET)), String(OPSET))
    .option('--shape <name=sizes>', 'of an input of a TensorFlow.js model: image=batch,224,224,3 (default: its own)', inputShape)
    .action(async (path: string, options: Options, command: Command) => {
      const tfjs = tfjsModelPath(path);
      if (tfjs !== undefined) return exportTfjs(tfjs, { ...options, opset: OPSET }, command);
      if (options.shape !== undefined) throw usageError('export: --shape', 'for models of TensorFlow.js alone');
      const io = ioOf(options);
      if (options.taps !== undefined && options.explain === undefined) {
        throw usageError('export: --taps', 'without --explain there are no maps');
      }
      await refuseOverwriting('export: --out', [options.out], [path]);
      const { network, model } = await openModel(path);
      const bytes = exportNetwork(network, model, { ...options, opset: OPSET, version: projectVersion });
      await writeFileAtomic(options.out, bytes);
      const outputs = ['logits', ...exportedTaps(network, options).map(mapOutput)];
      io.say(`${options.out}: ${(bytes.length / 1e6).toFixed(2)} MB, outputs ${outputs.join(', ')}`);
      io.say(`next: ${codaCommand()} verify ${quoted(options.out)} --model ${quoted(path)}`);
      io.result({ file: options.out, bytes: bytes.length, outputs, opset: OPSET });
    });
}
