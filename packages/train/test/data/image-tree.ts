/** Trees and archives of small real images to test with. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { Random } from '@coda-nets/core';
import { Header } from 'tar';

/** A noisy picture of a class's colour; `seed` makes it one of a kind. */
export async function picture(
  label: number,
  seed: number,
  { height = 20, width = 24, format = 'png' as 'png' | 'jpeg' } = {},
): Promise<Buffer> {
  const random = Random.seeded(seed).split(label);
  const data = Buffer.from(Array.from({ length: height * width * 3 }, (_, i) => ((label * 80 * ((i % 3) + 1)) % 200) + random.below(50)));
  const image = sharp(data, { raw: { height, width, channels: 3 } });
  return format === 'png' ? image.png().toBuffer() : image.jpeg({ quality: 90 }).toBuffer();
}

/** `<root>/<folder>/<class>/<n>.png` for each class, sizes differing. */
export async function writeTree(root: string, folder: string, classes: readonly string[], perClass: number, seed = 0): Promise<void> {
  for (const [label, name] of classes.entries()) {
    for (let n = 0; n < perClass; n++) {
      const image = await picture(label, seed + n, { height: 18 + (n % 3), width: 22 - (n % 2), format: n % 2 === 0 ? 'png' : 'jpeg' });
      await put(join(root, folder, name, `${n}.${n % 2 === 0 ? 'png' : 'JPEG'}`), image);
    }
  }
}

export async function put(path: string, data: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data);
}

export interface Entry {
  readonly name: string;
  readonly data?: Uint8Array | string;
  /** Default: a file. */
  readonly type?: 'SymbolicLink' | 'Link' | 'Directory' | 'CharacterDevice' | 'FIFO' | 'File';
  readonly linkpath?: string;
  /** What the header says; default what is there. */
  readonly size?: number;
}

/** A tar archive, written block by block so that it can lie. Names of any length, the long ones as GNU tar has them. */
export function tarOf(entries: readonly Entry[], { end = true } = {}): Buffer {
  const blocks: Buffer[] = [];
  const add = (path: string, type: string, data: Buffer, size: number, linkpath?: string): void => {
    const block = Buffer.alloc(512);
    new Header({ path, mode: 0o644, size, type: type as 'File', mtime: new Date(0), ...(linkpath !== undefined && { linkpath }) }).encode(
      block,
      0,
    );
    blocks.push(block, data, Buffer.alloc((512 - (data.length % 512)) % 512));
  };
  for (const { name, data = '', type = 'File', linkpath, size } of entries) {
    const bytes = Buffer.from(data as string);
    if (Buffer.byteLength(name) > 99) add('././@LongLink', 'NextFileHasLongPath', Buffer.from(`${name}\0`), Buffer.byteLength(name) + 1);
    add(name.slice(0, 99), type, bytes, size ?? bytes.length, linkpath);
  }
  if (end) blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}
