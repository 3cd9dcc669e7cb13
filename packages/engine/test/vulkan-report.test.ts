/** What is missing where WebGPU finds no GPU on Linux, told from file systems that are made up. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { vulkanReport } from '../src/vulkan-report.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

function rootOf(...files: readonly string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'coda-vulkan-test-'));
  roots.push(root);
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
  return root;
}
const report = (root: string, environment: NodeJS.ProcessEnv = {}): { problem: string; hint: string | undefined } =>
  vulkanReport({ root, environment, platform: 'linux' });

const LOADER = 'usr/lib/x86_64-linux-gnu/libvulkan.so.1';

it('is the loader', () => {
  const { problem, hint } = report(rootOf('usr/share/vulkan/icd.d/radeon_icd.x86_64.json'));
  expect(problem).toBe('the Vulkan loader, libvulkan.so.1, is not installed');
  expect(hint).toContain('libvulkan1');
});

it('is a driver', () => {
  expect(report(rootOf(LOADER)).problem).toBe('no Vulkan driver is installed (/usr/share/vulkan/icd.d, /etc/vulkan/icd.d)');
  expect(report(rootOf(LOADER, 'etc/vulkan/icd.d/README')).problem).toContain('no Vulkan driver is installed');
  expect(report(rootOf(LOADER, 'usr/share/vulkan/icd.d/lvp.json'), { VK_ICD_FILENAMES: '/of/nobody.json' }).problem).toBe(
    'no Vulkan driver is installed (VK_DRIVER_FILES or VK_ICD_FILENAMES: /of/nobody.json)',
  );
});

it('is a GPU, where loader and drivers are there', () => {
  const root = rootOf('opt/lib/libvulkan.so.1', 'etc/vulkan/icd.d/nvidia_icd.json', 'usr/share/vulkan/icd.d/lvp.json');
  expect(report(root, { LD_LIBRARY_PATH: '/opt/lib' }).problem).toBe(
    'none of the Vulkan drivers that are here has a GPU that fits: lvp.json, nvidia_icd.json',
  );
});

it('is nothing that files tell on other systems', () => {
  expect(vulkanReport({ platform: 'darwin' })).toEqual({ problem: 'the system offers none', hint: undefined });
});
