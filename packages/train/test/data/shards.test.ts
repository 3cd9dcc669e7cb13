/** Tar shards: what is in them, hostile ones, and an order that is shuffled and reads from front to back. */
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Random } from '@coda-nets/core';
import fc from 'fast-check';
import { list } from 'tar';
import { describe, expect, it } from 'vitest';
import { shardOrder } from '../../src/data/shard-order.ts';
import { indexTar } from '../../src/data/tar-index.ts';
import { loadBatch, openDataset, subset, type FileSplit } from '../../src/index.ts';
import { picture, tarOf, type Entry } from './image-tree.ts';
import { temporaryFolder } from './temporary-folder.ts';

async function samples(label: number, count: number, from: number): Promise<Entry[]> {
  const all: Entry[] = [];
  for (let n = from; n < from + count; n++) {
    all.push({ name: `s/${String(n).padStart(4, '0')}.png`, data: await picture(label, n) });
    all.push(
      n % 2 === 0
        ? { name: `s/${String(n).padStart(4, '0')}.cls`, data: `${label}\n` }
        : { name: `s/${String(n).padStart(4, '0')}.json`, data: JSON.stringify({ label, text: 'a picture' }) },
    );
  }
  return all;
}

const whole = tarOf([
  { name: 'a.png', data: 'x' },
  { name: 'a.cls', data: '0' },
]);

describe('shards', () => {
  it('of a folder and by pattern: samples, labels, names of classes, a test split', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'train-000.tar'), tarOf([{ name: 's/', type: 'Directory' }, ...(await samples(0, 3, 0))]));
    await writeFile(join(folder, 'train-001.tar'), tarOf(await samples(1, 2, 3)));
    await writeFile(join(folder, 'val-000.tar'), tarOf(await samples(1, 1, 9)));
    for (const path of [folder, join(folder, 'train-{000..001}.tar'), join(folder, 'train-*.tar')]) {
      const dataset = await openDataset(path);
      expect(dataset.classNames).toEqual(['0', '1']);
      const split = dataset.split('train') as FileSplit;
      expect(Array.from(split.labels)).toEqual([0, 0, 0, 1, 1]);
      expect(split.file(3).name).toBe('train-001.tar/s/0003.png');
      expect(Array.from(dataset.split('test').labels)).toEqual([1]);
    }
    await writeFile(join(folder, 'classes.txt'), 'cat\ndog\nbird\n');
    const named = await openDataset(folder);
    expect(named.classNames).toEqual(['cat', 'dog', 'bird']);
    const split = named.split('train') as FileSplit;
    const { data } = await loadBatch(split, [4], { size: [20, 24] });
    const alone = await loadBatch(
      { ...split, file: () => ({ ...split.file(4), path: join(folder, 'one.png'), offset: 0 }) },
      await writeFile(join(folder, 'one.png'), await picture(1, 4)).then(() => [4]),
      { size: [20, 24] },
    );
    expect(data).toEqual(alone.data);
    await expect(openDataset(join(folder, 'nothing-*.tar'))).rejects.toThrow('nothing-*.tar: there are no such archives');
    await expect(openDataset(join(folder, 'train-{9..1}.tar'))).rejects.toThrow(
      'not a range of archives; expected 1 to 1000000 of them, got {9..1}',
    );
  });

  it('finds the members that node-tar finds, long names and padding included', async () => {
    const path = join(await temporaryFolder(), 'a.tar');
    const entries = [0, 1, 511, 512, 513, 70_000].map((size, i) => ({
      name: `${'d/'.repeat(i * 20)}f${i}`,
      data: Buffer.alloc(size, 65 + i),
    }));
    await writeFile(path, tarOf(entries));
    const theirs: [string, number][] = [];
    await list({ file: path, onReadEntry: (entry) => void theirs.push([entry.path, entry.size]) });
    const { members } = await indexTar(path);
    expect(members.map(({ name, bytes }) => [name, bytes])).toEqual(theirs);
    expect(theirs).toHaveLength(6);
  });

  it('takes an archive with one block at its end, or padded to the usual record', async () => {
    const path = join(await temporaryFolder(), 'a.tar');
    for (const bytes of [whole.subarray(0, -512), Buffer.concat([whole, Buffer.alloc(10_240 - 512)])]) {
      await writeFile(path, bytes);
      expect((await indexTar(path)).members).toHaveLength(2);
    }
  });

  it('labels that are missing, no numbers or none of the classes are told of one by one, and so are links, devices and names that lead out', async () => {
    const folder = await temporaryFolder();
    const image = await picture(0, 1);
    await writeFile(
      join(folder, 'train.tar'),
      tarOf([
        { name: 'good.png', data: image },
        { name: 'good.cls', data: '0' },
        { name: 'alone.png', data: image },
        { name: 'word.png', data: image },
        { name: 'word.cls', data: 'cat' },
        { name: 'far.png', data: image },
        { name: 'far.cls', data: '7' },
        { name: 'json.png', data: image },
        { name: 'json.json', data: '{"label": ' },
        { name: 'link.png', type: 'SymbolicLink', linkpath: '/etc/passwd' },
        { name: 'hard.png', type: 'Link', linkpath: 'good.png' },
        { name: 'zero.png', type: 'CharacterDevice' },
        { name: '../../out.png', data: image },
        { name: '/root.png', data: image },
        { name: `${'n'.repeat(5000)}.png`, data: image },
      ]),
    );
    await writeFile(join(folder, 'classes.txt'), 'cat\ndog\n');
    const split = (await openDataset(folder)).split('train') as FileSplit;
    const size = [8, 8] as const;
    await loadBatch(split, [0], { size });
    const reasons = await Promise.all(
      Array.from({ length: split.length - 1 }, (_, i) =>
        loadBatch(split, [i + 1], { size }).then(
          () => 'read',
          (error: Error) => error.message,
        ),
      ),
    );
    expect(reasons.map((reason) => reason.replace(/n{100,}/, 'n…'))).toEqual([
      'train.tar/alone: there is no label beside this image',
      'train.tar/word: the label "cat" is none of the 2 classes',
      'train.tar/far: the label 7 is none of the 2 classes',
      'train.tar/json: no label can be read from json.json',
      'train.tar/link.png: a SymbolicLink in an archive is not an image',
      'train.tar/hard.png: a Link in an archive is not an image',
      'train.tar/zero.png: a CharacterDevice in an archive is not an image',
      'train.tar/../../out.png: a name that leads out of the archive',
      'train.tar//root.png: a name that leads out of the archive',
      'train.tar/n…: a name of 5004 bytes',
    ]);
  });

  it.each([
    ['{"label":1}', 1],
    ['{"label":"1"}', 1],
    ['{"label":" 1 "}', 1],
    ['{"label":""}', 'the label "" is none of the 2 classes'],
    ['{"label":" "}', 'the label " " is none of the 2 classes'],
    ['{"label":false}', 'the label false is none'],
    ['{"label":true}', 'the label true is none'],
    ['{"label":[]}', 'the label [] is none'],
    ['{"label":[1]}', 'the label [1] is none'],
    ['{"label":"1e0"}', 'the label "1e0" is none'],
    ['{"label":0.5}', 'the label 0.5 is none'],
    ['{"label":-1}', 'the label -1 is none'],
    ['{"label":null}', 'the label null is none'],
    ['{"text":"no label"}', 'no label can be read from b.json'],
    ['null', 'no label can be read from b.json'],
  ])('of %s the label is %s', async (json, expected) => {
    const folder = await temporaryFolder();
    const image = await picture(0, 1);
    const entries = [
      { name: 'a.png', data: image },
      { name: 'a.cls', data: '0' },
      { name: 'b.png', data: image },
      { name: 'b.json', data: json },
    ];
    await writeFile(join(folder, 'train.tar'), tarOf(entries));
    await writeFile(join(folder, 'classes.txt'), 'cat\ndog\n');
    const split = (await openDataset(folder)).split('train') as FileSplit;
    const { refused } = split.file(1);
    expect(refused ?? split.labels[1]).toEqual(typeof expected === 'number' ? expected : expect.stringContaining(expected));
  });

  it('images are the members with an ending of images, whatever they hold', async () => {
    const folder = await temporaryFolder();
    const entries: Entry[] = [];
    for (const ending of ['jfif', 'gif', 'bmp', 'tif', 'seg', 'txt']) {
      entries.push({ name: `${ending}.${ending}`, data: await picture(0, 1) }, { name: `${ending}.cls`, data: '0' });
    }
    const both = await picture(0, 2);
    entries.push({ name: 'both.bmp', data: 'a mask' }, { name: 'both.jpg', data: both }, { name: 'both.cls', data: '0' });
    await writeFile(join(folder, 'train.tar'), tarOf(entries));
    const split = (await openDataset(folder)).split('train') as FileSplit;
    expect(Array.from({ length: split.length }, (_, i) => split.file(i).name)).toEqual(
      ['jfif.jfif', 'gif.gif', 'bmp.bmp', 'tif.tif', 'both.jpg'].map((name) => `train.tar/${name}`),
    );
    expect((await loadBatch(split, [0, 1, 2, 3], { size: [8, 8] })).shape).toEqual([4, 8, 8, 3]);
  });

  it('archives of which no image has a label are refused', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'train.tar'), tarOf([{ name: 'a.png', data: 'x' }]));
    await expect(openDataset(folder)).rejects.toThrow(
      'train.tar: there is no image with a label in these archives; got train.tar/a: there is no label beside this image',
    );
  });

  it.each([
    [
      'is cut off',
      tarOf([{ name: 'a.png', data: 'x'.repeat(2000) }]).subarray(0, 1500),
      /the archive was cut off: "a\.png" has 2000 bytes and 988 are left/,
    ],
    [
      'says it has what it has not',
      tarOf([{ name: 'a.png', data: 'x', size: 8 * 2 ** 30 }]),
      /the archive was cut off: "a\.png" has 8589934592 bytes/,
    ],
    ['is no archive', Buffer.alloc(2048, 'hello'), /byte 0: not the header of a tar archive/],
    [
      'is compressed',
      Buffer.concat([gzipSync(tarOf([{ name: 'a', data: 'x' }])), Buffer.alloc(512)]),
      /a compressed archive, .*\. Unpack it with gunzip/,
    ],
    [
      'has a name of a hundred kilobytes',
      tarOf([{ name: 'n'.repeat(100_000), data: 'x' }]),
      /a header of 100001 bytes; expected at most 65536/,
    ],
    ['is empty', Buffer.alloc(1024), /there is no image with a label in these archives/],
    ['is cut off before a header', whole.subarray(0, 1024), /byte 1024: the archive was cut off: there is no end/],
    ['is cut off in a header', whole.subarray(0, 1224), /byte 1024: the archive was cut off: 200 bytes of a header are left/],
    ['is cut off in the padding of a file', whole.subarray(0, 1000), /the archive was cut off: there is no end/],
    [
      'has zeros from some place on',
      Buffer.concat([whole.subarray(0, 1024), Buffer.alloc(20_480)]),
      /byte 1024: the archive ends here, and the file does not; expected at most 11264 bytes of padding, got 20480\. Fetch it again/,
    ],
    ['has another behind it', Buffer.concat([whole, whole]), /byte 3072: something follows the end of the archive/],
    ['has no byte', Buffer.alloc(0), /an empty file, not an archive/],
  ])('is refused where it %s', async (_, bytes, message) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'bad.tar'), bytes);
    await expect(openDataset(folder)).rejects.toThrow(message);
  });
});

it('a folder or a pipe that is called an archive is refused', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'a.tar'));
  await expect(openDataset(folder)).rejects.toThrow(/a\.tar: not a regular file/);
  execFileSync('mkfifo', [join(folder, 'b.tar')]);
  await expect(indexTar(join(folder, 'b.tar'))).rejects.toThrow(/b\.tar: not a regular file/);
});

describe('shardOrder', () => {
  it('has every image once, the same for the same stream', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 9 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 40 }),
        (lengths, readers, buffer) => {
          const total = lengths.reduce((a, b) => a + b, 0);
          const order = shardOrder(lengths, { readers, buffer }, Random.seeded(3));
          expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, i) => i));
          expect(shardOrder(lengths, { readers, buffer }, Random.seeded(3))).toEqual(order);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads so many archives at a time from front to back, and mixes as far as the buffer reaches', () => {
    const lengths = Array.from({ length: 10 }, () => 100);
    const plain = shardOrder(lengths, { readers: 1, buffer: 1 }, Random.seeded(1));
    // archive after archive, each in its order
    for (let i = 0; i < 1000; i++) expect((plain[i] as number) % 100).toBe(i % 100);
    expect(new Set(Array.from(plain, (image) => Math.floor(image / 100)).filter((_, i) => i % 100 === 0)).size).toBe(10);
    const mixed = shardOrder(lengths, { readers: 3, buffer: 50 }, Random.seeded(1));
    expect(new Set(Array.from(mixed.slice(0, 60), (image) => Math.floor(image / 100))).size).toBe(3);
    // an image of the first three archives is read at 3 times its place in them, and leaves after that
    const first = new Set(Array.from(mixed.slice(0, 30), (image) => Math.floor(image / 100)));
    for (const [i, image] of mixed.slice(0, 200).entries())
      if (first.has(Math.floor(image / 100))) expect(i).toBeGreaterThanOrEqual((image % 100) * 3 - 50 - 3);
    expect(shardOrder(lengths, { readers: 3, buffer: 50 }, Random.seeded(2))).not.toEqual(mixed);
  });

  it('of a part of the shards is the order of the whole without the rest', async () => {
    const folder = await temporaryFolder();
    for (const n of [0, 1, 2]) await writeFile(join(folder, `train-${n}.tar`), tarOf(await samples(n % 2, 4, n * 4)));
    const whole = (await openDataset(folder)).split('train') as FileSplit;
    const kept = [1, 4, 5, 11];
    const part = subset(whole, kept);
    const order = Array.from(whole.order?.(Random.seeded(5)) ?? []);
    expect(Array.from(part.order?.(Random.seeded(5)) ?? [], (i) => kept[i])).toEqual(order.filter((i) => kept.includes(i)));
  });
});
