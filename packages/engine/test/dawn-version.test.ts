/** What is said of a package `webgpu` that is there and is not what it should be. */
import { describe, expect, it, vi } from 'vitest';
import type { findAdapter } from '../src/tfjs-webgpu/dawn.ts';

const fail = (): never => {
  throw new Error('no backend');
};

describe('findAdapter', () => {
  it.each<[string, object, string]>([
    [
      'has another interface',
      { create: undefined, globals: undefined },
      'engine tfjs-webgpu: the package webgpu is of another version: it has no create and globals',
    ],
    ['does not start', { create: fail, globals: {} }, 'engine tfjs-webgpu: no GPU that WebGPU can use'],
  ])('of a package that %s', async (_, dawn, text) => {
    vi.doMock('webgpu', () => dawn);
    vi.resetModules();
    const find = (await import('../src/tfjs-webgpu/dawn.ts')).findAdapter as typeof findAdapter;
    await expect(find(undefined)).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining(text) });
    vi.doUnmock('webgpu');
  });
});
