/** `coda explain` */
import { CodaError, decodeNpy, listedNames, nearestName } from '@coda-nets/core';
import { readFileBytes } from '@coda-nets/core/node';
import { gridPresets, type PresetName } from '@coda-nets/depth';
import { classNamed } from '@coda-nets/train';
import type { Command } from 'commander';
import { defineCommand, engineOf, ioOf, nameList, oneOf, usageError, type CommonOptions } from '../define-command.ts';
import { isOnePass, methodNames, namedMethod, presetNames } from '../depth/named-method.ts';
import { explainByMethod } from '../explain-by-method.ts';
import { imageInputs, type ImageInputs } from '../image-inputs.ts';
import { imagesAtATime } from '../images-at-a-time.ts';
import { openModel } from '../open-model.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';
import { explanationFiles, writeExplanations } from '../write-explanations.ts';

/** Eight bytes a class for ten million inputs. */
const MAX_TARGET_BYTES = 80_000_000;

/** Small images in one call of the engine; more do not make it faster. */
const MOST_AT_A_TIME = 16;

interface Options extends CommonOptions {
  readonly target?: string;
  readonly tap: readonly string[];
  readonly method: string;
  readonly preset: PresetName;
  readonly out: string;
}

export function explainCommand(): Command {
  return defineCommand('explain', 'contribution maps', 'explain runs/demo/hybrid.safetensors cat.png --out explained')
    .argument('<model>', 'a model file')
    .argument('<input...>', 'images (JPEG, PNG, WebP), folders of them, or a .npy batch [N, H, W, 3]')
    .requiredOption('--out <dir>', 'folder for the maps')
    .option('--target <class>', 'a class by number or name, or a .npy of integers [N] (default: the top class of each)')
    .option('--tap <names>', 'taps between commas, or all', nameList, ['all'])
    .option('--method <name>', `one of ${methodNames('original').join(', ')}, or a preset’s own`, 'contributions')
    .option('--preset <name>', 'whose parameters the method has', oneOf(...presetNames), 'original')
    .action(async (path: string, paths: string[], options: Options) => {
      const io = ioOf(options);
      const method = namedMethod(options.method, options.preset, 'explain: --method');
      if (options.tap.length === 0) throw usageError('explain: --tap', 'no tap is named', 'names between commas, or all');
      const open = await openModel(path);
      const { network, model } = open;
      const inputs = await imageInputs(paths, open);
      const count = inputs.names.length;
      const targets = await targetsOf(options.target, count, network.classes, model.classNames);
      const taps = options.tap.includes('all') ? network.taps.map(({ name }) => name) : options.tap;
      const outputs = explanationFiles(options.out, inputs, taps);
      const targetFile = options.target?.endsWith('.npy') === true ? options.target : undefined;
      await refuseOverwriting('explain: --out', outputs, [path, targetFile, ...inputs.files]);
      const [, height, width] = inputs.images.shape as [number, number, number, number];
      const engine = await engineOf(options, io);
      io.begin(`explaining ${count} ${count === 1 ? 'image' : 'images'} at ${taps.length} taps`);
      const explanations = await explainByMethod({
        engine,
        network,
        weights: model.weights,
        taps,
        method,
        images: inputs.images,
        targets,
        // probing methods choose by an estimate of memory how many changed copies go in at once
        ...(isOnePass(method) && { chunk: imagesAtATime(height, width, MOST_AT_A_TIME) }),
      });
      const { interpolation } = gridPresets[options.preset === 'original' ? 'attr-eval' : options.preset];
      const files = await writeExplanations({
        out: options.out,
        inputs,
        explanations,
        network,
        classNames: model.classNames,
        method,
        // exact maps are drawn as they are
        interpolation: method.name === 'contributions' ? 'nearest' : interpolation,
      });
      for (const [n, { target, probability, taps: all }] of explanations.entries()) {
        const exact = all.filter((tap) => tap.exact);
        const worst =
          exact.length === 0
            ? ''
            : `, worst residual of ${exact.length} exact taps ${Math.max(...exact.map((tap) => tap.residual)).toExponential(1)}`;
        io.say(`${inputs.names[n]}: ${model.classNames[target]} ${(100 * probability).toFixed(1)} %${worst}`);
      }
      for (const line of filesLines(options.out, inputs, taps, method.name)) io.say(line);
      io.result({ out: options.out, files });
    });
}

/** What was written, and what each file is. */
function filesLines(out: string, { names, batch }: ImageInputs, taps: readonly string[], method: string): readonly string[] {
  const [name = ''] = names;
  const [tap = ''] = taps;
  const maps = `the map at ${taps.length === 1 ? tap : `each of ${taps.length} taps`} as float32 numbers`;
  const each = names.length === 1 ? '' : `, and so for each of ${names.length} images`;
  return [
    `in ${out}:`,
    ...(batch
      ? [`  logits.npy  [N, classes]`, `  ${tap}.npy${taps.length === 1 ? '' : ', …'}  [N, h, w]: ${maps}`]
      : [
          `  ${name}.png  the image, then its ${method} map at every tap, from the input to the output: red speaks for the class, blue against it${each}`,
          `  ${name}.${tap}.npy${taps.length === 1 ? '' : ', …'}  [h, w]: ${maps}, channels summed`,
        ]),
    '  explanation.json  the class, its score, and for each tap whether the map is exact and what it sums to',
  ];
}

async function targetsOf(
  text: string | undefined,
  count: number,
  classes: number,
  classNames: readonly string[],
): Promise<'top' | readonly number[]> {
  if (text === undefined) return 'top';
  if (text.endsWith('.npy')) {
    const { data, dtype, shape } = decodeNpy(await readFileBytes(text, { maxBytes: MAX_TARGET_BYTES }), text);
    if (shape.length !== 1 || shape[0] !== count || !['int32', 'int64', 'uint8'].includes(dtype)) {
      throw new CodaError({
        kind: 'argument',
        where: text,
        problem: 'not one class for each input',
        expected: `integers [${count}]`,
        got: `${dtype} [${shape.join(', ')}]`,
      });
    }
    return Array.from(data as Int32Array, Number);
  }
  const target = classNamed({ classNames }, text, 'explain: --target') ?? Number(text);
  if (text.trim() === '' || !Number.isInteger(target) || target < -1 || target >= classes) {
    const nearest = nearestName(text, classNames);
    throw new CodaError({
      kind: 'argument',
      where: 'explain: --target',
      problem: 'no class of this model',
      expected: `a number from 0 to ${classes - 1}, or one of ${listedNames(classNames)}`,
      got: text,
      hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
    });
  }
  return Array<number>(count).fill(target);
}
