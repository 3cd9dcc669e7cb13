/** Data sets of files: the layouts in which they are published, classes chosen from them, and what is wrong with a tree. */
import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, test } from 'vitest';
import { loadBatch, openDataset, selectClasses, syntheticDataset, type FileSplit } from '../../src/index.ts';
import { picture, put, writeTree } from './image-tree.ts';
import { temporaryFolder } from './temporary-folder.ts';

const files = (split: unknown): readonly string[] =>
  Array.from({ length: (split as FileSplit).length }, (_, i) => (split as FileSplit).file(i).name);
const labels = (split: { labels: ArrayLike<number> }): readonly number[] => Array.from(split.labels);

describe('folders of classes', () => {
  it('as ImageNet: train and val by synset, names from the list beside them', async () => {
    const root = await temporaryFolder();
    const ids = ['n01440764', 'n01443537', 'n01484850'];
    await writeTree(root, 'train', ids, 3);
    await writeTree(root, 'val', ids, 1);
    await put(join(root, 'LOC_synset_mapping.txt'), 'n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 great white shark\n');
    await put(join(root, 'train', ids[0] as string, 'notes.txt'), 'no image');
    const dataset = await openDataset(root);
    expect(dataset.classNames).toEqual(['tench, Tinca tinca', 'goldfish', 'great white shark']);
    expect(dataset.classIds).toEqual(ids);
    expect(files(dataset.split('train')).slice(0, 4)).toEqual([
      'train/n01440764/0.png',
      'train/n01440764/1.JPEG',
      'train/n01440764/2.png',
      'train/n01443537/0.png',
    ]);
    expect(labels(dataset.split('train'))).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    expect(labels(dataset.split('test'))).toEqual([0, 1, 2]);
    const batch = await loadBatch(dataset.split('train'), [8, 0], { size: [16, 16] });
    expect(batch.shape).toEqual([2, 16, 16, 3]);

    // as downloaded from Kaggle: the validation images in one folder, three folders down, and a list
    const kaggle = await temporaryFolder();
    await mkdir(join(kaggle, 'ILSVRC/Data'), { recursive: true });
    await rename(root, join(kaggle, 'ILSVRC/Data/CLS-LOC'));
    const inner = join(kaggle, 'ILSVRC/Data/CLS-LOC');
    await rename(join(inner, 'LOC_synset_mapping.txt'), join(kaggle, 'LOC_synset_mapping.txt'));
    await rm(join(inner, 'val'), { recursive: true });
    for (const n of [1, 2]) await put(join(inner, `val/ILSVRC2012_val_0000000${n}.JPEG`), await picture(n, 1));
    await put(
      join(kaggle, 'LOC_val_solution.csv'),
      `ImageId,PredictionString\nILSVRC2012_val_00000001,${ids[2]} 1 2 3 4 \nILSVRC2012_val_00000002,${ids[0]} 5 6 7 8 \n`,
    );
    const listed = await openDataset(kaggle);
    expect(listed.classNames[1]).toBe('goldfish');
    expect(labels(listed.split('test'))).toEqual([2, 0]);
    expect(listed.split('train').fingerprint).toBe(dataset.split('train').fingerprint);
  });

  it('as TinyImageNet: images one folder further down, labels of val in a list', async () => {
    const root = await temporaryFolder();
    for (const [label, id] of ['n02', 'n01'].entries()) {
      for (let n = 0; n < 2; n++) await put(join(root, `train/${id}/images/${id}_${n}.JPEG`), await picture(label, n, { format: 'jpeg' }));
      await put(join(root, `train/${id}/${id}_boxes.txt`), '0 0 1 1');
      await put(join(root, `val/images/val_${label}.JPEG`), await picture(label, 9));
    }
    await put(join(root, 'test/images/test_0.JPEG'), await picture(0, 9));
    await put(join(root, 'val/val_annotations.txt'), 'val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\t0\t1\t1\n');
    await put(join(root, 'words.txt'), 'n01\tone, first\nn02\ttwo\nn99\tno class here\n');
    const dataset = await openDataset(root);
    expect(dataset.classNames).toEqual(['one, first', 'two']);
    expect(labels(dataset.split('train'))).toEqual([0, 0, 1, 1]);
    expect(files(dataset.split('test'))).toEqual(['val/images/val_0.JPEG', 'val/images/val_1.JPEG']);
    expect(labels(dataset.split('test'))).toEqual([1, 0]);
    for (const [line, problem] of [
      ['../../secret.png\tn01', 'line 1: not the name of an image; got "../../secret.png"'],
      ['val_0.JPEG\tn03', 'line 1: this class is not among those that are trained; got "n03"'],
    ] as const) {
      await put(join(root, 'val/val_annotations.txt'), line);
      await expect(openDataset(root)).rejects.toThrow(problem);
    }
  });

  it('validation images that were sorted into folders of their classes, the list still beside them', async () => {
    const ids = ['n01', 'n02'];
    const kaggle = await temporaryFolder();
    await writeTree(kaggle, 'train', ids, 1);
    await writeTree(kaggle, 'val', ids, 2, 50);
    await put(join(kaggle, 'LOC_val_solution.csv'), 'ImageId,PredictionString\nILSVRC2012_val_00000001,n02 1 2 3 4\n');
    const tiny = await temporaryFolder();
    await writeTree(tiny, 'train', ids, 1);
    await writeTree(tiny, 'val', ids, 2, 50);
    await put(join(tiny, 'val/images/val_0.JPEG'), await picture(0, 9));
    await put(join(tiny, 'val/val_annotations.txt'), 'val_0.JPEG\tn02\t0\t0\t1\t1\n');
    for (const root of [kaggle, tiny]) {
      const split = (await openDataset(root)).split('test');
      expect(files(split)).toEqual(['val/n01/0.png', 'val/n01/1.JPEG', 'val/n02/0.png', 'val/n02/1.JPEG']);
      expect(labels(split)).toEqual([0, 0, 1, 1]);
    }
  });

  it('a list whose images are not there is refused, and a single one that is missing is told of', async () => {
    const root = await temporaryFolder();
    await writeTree(root, 'train', ['n01', 'n02'], 1);
    await put(join(root, 'val/val_annotations.txt'), 'val_0.JPEG\tn02\nval_1.JPEG\tn01\n');
    await expect(openDataset(root)).rejects.toThrow(
      'val_annotations.txt: none of the images that are named here is there; expected val/images/val_0.JPEG and 1 more',
    );
    await put(join(root, 'val/images/val_1.JPEG'), await picture(0, 9));
    const split = (await openDataset(root)).split('test');
    await expect(loadBatch(split, [0], { size: [8, 8] })).rejects.toThrow(
      'val/images/val_0.JPEG: named in val_annotations.txt, but not there',
    );
  });

  it('any folder with a folder for each class, which has no test split', async () => {
    const root = await temporaryFolder();
    await writeTree(root, '.', ['cat', 'dog'], 2);
    const dataset = await openDataset(root);
    expect(dataset.classNames).toEqual(['cat', 'dog']);
    expect(() => dataset.split('test')).toThrow('this data set has no test split; expected a folder val, validation, test beside train');
    await writeTree(root, 'train', ['cat', 'dog'], 2);
    await writeTree(root, 'val', ['dog', 'cow'], 1);
    await expect(openDataset(root)).rejects.toThrow(/val\/cow: this class is not among those that are trained/);
  });

  it('content says what is an image, not its name; texts and what systems leave are passed over', async () => {
    const root = await temporaryFolder();
    await writeTree(root, '.', ['b'], 1);
    const images = ['bare', 'e.gif', 'e.jfif', 'e.tif', 'e.v2'];
    for (const [i, name] of images.entries()) await put(join(root, 'a', name), await picture(0, i, { format: 'jpeg' }));
    await put(join(root, 'a/film.mp4'), 'no image');
    const others = ['.DS_Store', 'Thumbs.db', 'desktop.ini', 'a.txt', 'a.csv', 'a.json', 'a.XML', 'a.md', 'a.mat', 'a.npy'];
    for (const name of others) await put(join(root, 'a', name), 'no image');
    const split = (await openDataset(root)).split('train');
    expect(files(split)).toEqual([...images, 'film.mp4', 'b/0.png'].map((name) => (name.includes('/') ? name : `a/${name}`)));
    const size = [8, 8] as const;
    expect((await loadBatch(split, [0, 1, 2, 3, 4], { size })).shape).toEqual([5, 8, 8, 3]);
    await expect(loadBatch(split, [5], { size })).rejects.toThrow('a/film.mp4: not an image');
  });

  it('an archive beside train does not hide its folders', async () => {
    const root = await temporaryFolder();
    await writeTree(root, 'train', ['cat', 'dog'], 1);
    await put(join(root, 'ILSVRC2012_img_train.tar'), 'the archive the folders came from');
    expect((await openDataset(root)).classNames).toEqual(['cat', 'dog']);
  });

  it('splits are found in any case, and Train is a class among others where it holds images', async () => {
    const root = await temporaryFolder();
    await writeTree(root, 'Train', ['cat', 'dog'], 1);
    await writeTree(root, 'VAL', ['cat', 'dog'], 2);
    const dataset = await openDataset(root);
    expect([dataset.classNames, labels(dataset.split('test'))]).toEqual([
      ['cat', 'dog'],
      [0, 0, 1, 1],
    ]);
    const vehicles = await temporaryFolder();
    await writeTree(vehicles, '.', ['Bus', 'Train'], 1);
    expect((await openDataset(vehicles)).classNames).toEqual(['Bus', 'Train']);
    await rm(join(vehicles, 'Bus'), { recursive: true });
    await writeTree(vehicles, '.', ['Test'], 1);
    await expect(openDataset(vehicles)).rejects.toThrow('Train: not a data set: there is no folder for each class');
  });

  it('a class without an image is refused by name, and a folder of macOS is no class', async () => {
    const root = await temporaryFolder();
    await writeTree(root, 'train', ['cat', 'dog'], 1);
    await writeTree(root, 'val', ['cat', 'dog'], 1);
    for (const folder of ['train/__MACOSX', 'train/.cache', 'val/images']) await mkdir(join(root, folder));
    const dataset = await openDataset(root);
    expect([dataset.classNames, labels(dataset.split('test'))]).toEqual([
      ['cat', 'dog'],
      [0, 1],
    ]);
    await mkdir(join(root, 'train/bird'));
    await expect(openDataset(root)).rejects.toThrow('train/bird: there is no image of this class. Remove the folder, or put');
    await mkdir(join(root, 'train/cow'));
    await expect(openDataset(root)).rejects.toThrow('train/bird: there is no image of this class, nor of 1 more.');
  });

  it('a link back into its own class gives no image twice, and one out of the classes is none', async () => {
    const root = await temporaryFolder();
    await writeTree(root, 'train', ['cat', 'dog'], 1);
    await put(join(root, 'loose.png'), await picture(0, 9));
    await symlink('.', join(root, 'train/cat/ant'));
    await symlink('../..', join(root, 'train/cat/out'));
    expect(files((await openDataset(root)).split('train'))).toEqual(['train/cat/0.png', 'train/dog/0.png']);
    for (const target of ['..', '.']) {
      await symlink(target, join(root, 'train/up'));
      await expect(openDataset(root)).rejects.toThrow('train/up: there is no image of this class');
      await rm(join(root, 'train/up'));
    }
  });

  it('its fingerprint is of names and sizes, its version of every touch', async () => {
    const root = await temporaryFolder();
    await writeTree(root, '.', ['a', 'b'], 2);
    const before = (await openDataset(root)).split('train');
    await utimes(join(root, 'a/0.png'), new Date(1), new Date(1));
    const touched = (await openDataset(root)).split('train');
    expect(touched.fingerprint).toBe(before.fingerprint);
    expect(touched.version).not.toBe(before.version);
    await writeFile(join(root, 'a/0.png'), 'x');
    expect((await openDataset(root)).split('train').fingerprint).not.toBe(before.fingerprint);
  });

  it('links are followed, one that leads nowhere and a pipe are images that cannot be read, and nothing hangs', async () => {
    const root = await temporaryFolder();
    await writeTree(root, '.', ['a', 'b'], 1);
    await symlink(join(root, 'b/0.png'), join(root, 'a/link.png'));
    await symlink(join(root, 'gone'), join(root, 'a/nowhere.png'));
    execFileSync('mkfifo', [join(root, 'a/pipe.png')]);
    const split = (await openDataset(root)).split('train');
    expect(files(split)).toEqual(['a/0.png', 'a/link.png', 'a/nowhere.png', 'a/pipe.png', 'b/0.png']);
    const size = [8, 8] as const;
    expect((await loadBatch(split, [1], { size })).data).toEqual((await loadBatch(split, [4], { size })).data);
    await expect(loadBatch(split, [2], { size })).rejects.toThrow('a/nowhere.png: a link that leads nowhere');
    await expect(loadBatch(split, [3], { size })).rejects.toThrow('a/pipe.png: not a regular file');
  });
});

describe('files of records', () => {
  it('CIFAR-100 has its fine labels', async () => {
    const folder = await temporaryFolder();
    const record = (label: number, red: number): Buffer =>
      Buffer.concat([Buffer.of(19, label), Buffer.alloc(1024, red), Buffer.alloc(1024, 2), Buffer.alloc(1024, 3)]);
    await put(join(folder, 'train.bin'), Buffer.concat([record(7, 200), record(99, 100)]));
    await put(join(folder, 'test.bin'), record(100, 0));
    await put(join(folder, 'fine_label_names.txt'), Array.from({ length: 100 }, (_, c) => `class${c}`).join('\n'));
    const dataset = await openDataset(folder);
    const split = dataset.split('train');
    expect([dataset.inputShape, labels(split), dataset.classNames[99]]).toEqual([[32, 32, 3], [7, 99], 'class99']);
    expect(Array.from((await loadBatch(split, [1], { size: [32, 32] })).data.slice(0, 3))).toEqual(
      [100, 2, 3].map((v) => Math.fround(v / 255)),
    );
    expect(() => dataset.split('test')).toThrow('test.bin: record 0 has a label outside of the 100 classes; expected 0 to 99, got 100');
    await put(join(folder, 'train.bin'), Buffer.alloc(3075));
    await expect(async () => (await openDataset(folder)).split('train')).rejects.toThrow(
      'train.bin: the size is not that of whole records',
    );
  });

  it('Fashion-MNIST, gzipped or not, is grey in three channels', async () => {
    const folder = await temporaryFolder();
    const idx = (sizes: readonly number[], data: Buffer): Buffer => {
      const header = Buffer.alloc(4 + 4 * sizes.length);
      header.writeUInt32BE(0x0800 + sizes.length);
      sizes.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
      return Buffer.concat([header, data]);
    };
    const grey = Buffer.from(Array.from({ length: 2 * 784 }, (_, i) => i % 251));
    await put(join(folder, 'train-images-idx3-ubyte.gz'), gzipSync(idx([2, 28, 28], grey)));
    await put(join(folder, 'train-labels-idx1-ubyte'), idx([2], Buffer.of(9, 3)));
    const dataset = await openDataset(folder);
    const split = dataset.split('train');
    expect([labels(split), dataset.classNames[9]]).toEqual([[9, 3], 'Ankle boot']);
    const { data } = await loadBatch(split, [1], { size: [28, 28] });
    expect(Array.from(data.slice(0, 6))).toEqual([784, 784, 784, 785, 785, 785].map((i) => Math.fround((i % 251) / 255)));
    await put(join(folder, 'train-labels-idx1-ubyte'), idx([3], Buffer.of(9, 3, 1)));
    await expect(async () => (await openDataset(folder)).split('train')).rejects.toThrow('labels and images do not go together');
    await put(join(folder, 'train-images-idx3-ubyte.gz'), gzipSync(Buffer.alloc(100_000_000)));
    await expect(async () => (await openDataset(folder)).split('train')).rejects.toThrow('cannot be unpacked');
  });
});

describe('selectClasses', () => {
  const dataset = { ...syntheticDataset({ classes: 4, perClass: 3, size: 8 }), classIds: ['n0', 'n1', 'n2', 'n3'] };

  test('the first so many, or by name, id and number, numbered in the order given', () => {
    const whole = dataset.split('train');
    const two = selectClasses(dataset, 2);
    expect([two.classNames, labels(two.split('train'))]).toEqual([dataset.classNames.slice(0, 2), [0, 1, 0, 1, 0, 1]]);
    const some = selectClasses(dataset, ['n3', 'red disc', '2']);
    expect(some.classNames).toEqual([3, 0, 2].map((c) => dataset.classNames[c]));
    expect(some.classIds).toEqual(['n3', 'n0', 'n2']);
    const split = some.split('train');
    const kept = Array.from(whole.labels.keys()).filter((i) => whole.labels[i] !== 1);
    expect(labels(split)).toEqual(kept.map((i) => [1, NaN, 2, 0][whole.labels[i] as number]));
    expect(split.kind === 'pixels' && split.images.join()).toBe(kept.map((i) => whole.images.slice(i * 192, i * 192 + 192).join()).join());
  });

  test.each([
    [5, 'classes: the data set has not so many classes; expected 1 to 4, got 5'],
    [['red disk'], 'classes: the data set has no class of that name; got "red disk". Did you mean "red disc"?'],
    [['0', 'n0'], 'classes: a class is named twice; got "red disc"'],
  ] as const)('refuses %s', (selection, message) => {
    expect(() => selectClasses(dataset, selection)).toThrow(message);
  });

  test('a name that several classes have is refused with their ids', () => {
    const twins = { ...dataset, classNames: ['crane', 'bus', 'crane', 'maillot'] };
    expect(() => selectClasses(twins, ['crane'])).toThrow(
      'classes: several classes have this name; expected "n0" or "n2", got "crane". Name the class by its id.',
    );
    expect(selectClasses(twins, ['n2', 'bus']).classIds).toEqual(['n2', 'n1']);
    expect(() =>
      selectClasses({ ...syntheticDataset({ classes: 4, perClass: 3, size: 8 }), classNames: twins.classNames }, ['crane']),
    ).toThrow('expected "0" or "2", got "crane". Name the class by its number.');
  });
});
