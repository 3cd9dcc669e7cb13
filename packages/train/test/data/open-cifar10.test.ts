import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCifar10 } from '../../src/data/open-cifar10.ts';
import { openDataset } from '../../src/data/open-dataset.ts';
import { syntheticDataset } from '../../src/data/synthetic-dataset.ts';
import { writeCifar10 } from '../../src/data/write-cifar10.ts';
import { temporaryFolder } from './temporary-folder.ts';

const toy = syntheticDataset({ classes: 4, perClass: 4, testPerClass: 2, seed: 5 });

async function written(): Promise<string> {
  const folder = await temporaryFolder();
  await writeCifar10(folder, { ...toy, name: 'cifar10' });
  return folder;
}

test('what is written in the binary layout is read back, and the fingerprint follows the content', async () => {
  const dataset = await openDataset(await written());
  expect(dataset.classNames).toEqual(['red disc', 'green square', 'blue triangle', 'yellow cross']);
  expect(dataset.inputShape).toEqual([32, 32, 3]);
  for (const name of ['train', 'test'] as const) {
    const split = dataset.split(name);
    expect(split.length).toBe(name === 'train' ? 16 : 8);
    expect(split.kind === 'pixels' && split.images).toEqual(toy.split(name).images);
    expect(split.labels).toEqual(toy.split(name).labels);
    expect(split.fingerprint).toBe(toy.split(name).fingerprint);
    expect(dataset.split(name)).toBe(split);
  }
  expect(dataset.split('train').fingerprint).not.toBe(dataset.split('test').fingerprint);
});

test('a record is the label and then the red, green and blue planes', async () => {
  const folder = await written();
  const records = new Uint8Array(await readFile(join(folder, 'test_batch.bin')));
  const { images, labels } = toy.split('test');
  expect(records.length).toBe(8 * 3073);
  for (const n of [0, 3, 7]) {
    expect(records[n * 3073]).toBe(labels[n]);
    for (const [y, x] of [
      [0, 0],
      [5, 31],
      [31, 2],
    ] as const) {
      for (const c of [0, 1, 2]) {
        expect(records[n * 3073 + 1 + c * 1024 + y * 32 + x]).toBe(images[((n * 32 + y) * 32 + x) * 3 + c]);
      }
    }
  }
  expect(await readFile(join(folder, 'batches.meta.txt'), 'utf8')).toBe('red disc\ngreen square\nblue triangle\nyellow cross\n\n');
  expect((await readdir(folder)).filter((file) => file.includes('tmp'))).toEqual([]);
});

test('a folder that is half there names the missing file and the repair', async () => {
  const folder = await written();
  await rm(join(folder, 'data_batch_3.bin'));
  await expect(openCifar10(folder)).rejects.toThrow(
    `${join(folder, 'data_batch_3.bin')}: this file of the data set is missing. ` +
      `\`coda data fetch cifar10 --to ${folder}\` repairs it.`,
  );
});

test('a cut file names its size, with the manifest and without', async () => {
  const folder = await written();
  const path = join(folder, 'test_batch.bin');
  await truncate(path, 3073);
  await expect(openCifar10(folder)).rejects.toThrow(
    `${path}: the size is not the one recorded when it was written; expected 24584 bytes, got 3073. `,
  );
  await rm(join(folder, 'coda-dataset.json'));
  expect((await openCifar10(folder)).split('test').length).toBe(1);
  for (const size of [0, 3072]) {
    await truncate(path, size);
    await expect(openCifar10(folder)).rejects.toThrow(
      `${path}: the size is not that of 1 to 10000 records of 3073 bytes; expected 30730000 bytes for CIFAR-10, got ${size}`,
    );
  }
});

test('a label outside of the classes names the record', async () => {
  const folder = await written();
  const path = join(folder, 'data_batch_2.bin');
  const records = await readFile(path);
  records[3073] = 4;
  await writeFile(path, records);
  const dataset = await openCifar10(folder);
  expect(dataset.split('test').length).toBe(8);
  expect(() => dataset.split('train')).toThrow(
    `${path}: record 1 has a label outside of the 4 classes; expected 0 to 3, got 4. \`coda data fetch`,
  );
});

test('a bad list of class names is refused', async () => {
  const folder = await written();
  const path = join(folder, 'batches.meta.txt');
  await writeFile(path, '\n\n');
  await expect(openCifar10(folder)).rejects.toThrow(
    `${path}: not a list of class names; expected 1 to 10 lines with a name each, got 0 names. `,
  );
  await writeFile(path, 'x'.repeat(5000));
  await expect(openCifar10(folder)).rejects.toThrow('got more than 4096 bytes');
});

test('names and folders that are not there', async () => {
  await expect(openDataset('cifar-10')).rejects.toThrow(
    'openDataset: no such data set; expected cifar10, cifar100, fashion-mnist, tiny-imagenet-200, imagenet, a folder, or a pattern of .tar files, got "cifar-10"',
  );
  const folder = await temporaryFolder();
  const before = process.env['CODA_DATA'];
  process.env['CODA_DATA'] = folder;
  try {
    await expect(openDataset('cifar10')).rejects.toThrow(
      `openDataset: cifar10: not fetched yet: there is no ${join(folder, 'cifar10')}. Run \`coda data fetch cifar10\`.`,
    );
    await writeCifar10(join(folder, 'cifar10'), { ...toy, name: 'cifar10' });
    await rm(join(folder, 'cifar10', 'test_batch.bin'));
    await expect(openDataset('cifar10')).rejects.toThrow('is missing. `coda data fetch cifar10` repairs it.');
  } finally {
    if (before === undefined) delete process.env['CODA_DATA'];
    else process.env['CODA_DATA'] = before;
  }
});

test('a data set of another shape cannot be written in this layout', async () => {
  const folder = await temporaryFolder();
  await expect(writeCifar10(folder, syntheticDataset({ classes: 2, perClass: 3, size: 16 }))).rejects.toThrow(
    'writeCifar10: dataset: does not fit the layout of CIFAR-10; expected images [32, 32, 3], 1 to 10 classes, ' +
      '5 to 50000 training and 1 to 10000 test images, got [16, 16, 3], 2 classes, 6 and 2',
  );
  expect(await readdir(folder)).toEqual([]);
});
