/** `coda predict` */
import { encodeNpy } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import type { Command } from 'commander';
import { checkFinite, classify, topClasses } from '../classify.ts';
import { defineCommand, engineOf, ioOf, wholeNumber, type CommonOptions } from '../define-command.ts';
import { imageInputs } from '../image-inputs.ts';
import { openModel } from '../open-model.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

interface Options extends CommonOptions {
  readonly out?: string;
  readonly top: number;
}

export function predictCommand(): Command {
  return defineCommand('predict', 'logits and probabilities', 'predict runs/demo/hybrid.safetensors cat.png')
    .argument('<model>', 'a model file')
    .argument('<input...>', 'images (JPEG, PNG, WebP), folders of them, or a .npy batch [N, H, W, 3]')
    .option('--out <file>', 'write the logits [N, classes] as .npy')
    .option('--top <n>', 'classes to list for each image', wholeNumber(1), 5)
    .action(async (path: string, inputs: string[], options: Options) => {
      const io = ioOf(options);
      const open = await openModel(path);
      const { names, images, files } = await imageInputs(inputs, open);
      if (options.out !== undefined) await refuseOverwriting('predict: --out', [options.out], [path, ...files]);
      const result = await classify(await engineOf(options, io), open, images);
      checkFinite(result, names);
      const predictions = names.map((name, n) => ({ input: name, top: topClasses(result, n, open.model.classNames, options.top) }));
      for (const { input, top } of predictions) {
        io.say(`${input}: ${top.map((c) => `${c.name} ${(100 * c.probability).toFixed(1)} %`).join(', ')}`);
      }
      if (options.out !== undefined) {
        await writeFileAtomic(options.out, encodeNpy(result.logits));
        io.say(`${options.out}: logits [${result.logits.shape.join(', ')}]`);
      }
      io.result({ predictions, out: options.out });
    });
}
