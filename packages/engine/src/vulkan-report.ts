/** Why WebGPU finds no GPU on Linux, from what lies in the file system: the loader, the drivers' files. Nothing is loaded. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const LOADER_FOLDERS = ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu', 'usr/lib64', 'usr/lib', 'usr/local/lib'];
const DRIVER_FOLDERS = ['usr/share/vulkan/icd.d', 'etc/vulkan/icd.d', 'usr/local/share/vulkan/icd.d'];

export interface VulkanReport {
  /** For people. */
  readonly problem: string;
  /** What to do about it. */
  readonly hint: string | undefined;
}

export interface VulkanReportOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** Where the file system begins. */
  readonly root?: string;
  readonly platform?: NodeJS.Platform;
}

/** What is wrong where no adapter was found. */
export function vulkanReport({
  environment = process.env,
  root = '/',
  platform = process.platform,
}: VulkanReportOptions = {}): VulkanReport {
  if (platform !== 'linux') return { problem: 'the system offers none', hint: undefined };
  const libraries = [...pathsIn(environment['LD_LIBRARY_PATH']), ...LOADER_FOLDERS];
  if (!libraries.some((folder) => existsSync(join(root, folder, 'libvulkan.so.1')))) {
    return {
      problem: 'the Vulkan loader, libvulkan.so.1, is not installed',
      hint: 'Debian’s and Ubuntu’s package is libvulkan1, Fedora’s vulkan-loader; the GPU’s driver is to be there too.',
    };
  }
  const named = environment['VK_DRIVER_FILES'] ?? environment['VK_ICD_FILENAMES'];
  const files =
    named === undefined ? DRIVER_FOLDERS.flatMap((folder) => filesIn(join(root, folder))) : pathsIn(named).map((path) => join(root, path));
  const there = files.filter((path) => existsSync(path) && statSync(path).isFile());
  const where = named === undefined ? `/${DRIVER_FOLDERS.slice(0, 2).join(', /')}` : `VK_DRIVER_FILES or VK_ICD_FILENAMES: ${named}`;
  if (there.length === 0) {
    return {
      problem: `no Vulkan driver is installed (${where})`,
      hint: 'Install the GPU’s own: Debian’s mesa-vulkan-drivers for AMD and Intel, nvidia-vulkan-icd for NVIDIA.',
    };
  }
  return {
    problem: `none of the Vulkan drivers that are here has a GPU that fits: ${there.map((path) => basename(path)).join(', ')}`,
    hint: '`vulkaninfo` lists what they find; a container has to be given the GPU’s device files, and with NVIDIA its graphics libraries.',
  };
}

const pathsIn = (list = ''): readonly string[] => list.split(':').filter(Boolean);

const filesIn = (folder: string): readonly string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.json'))
        .map((name) => join(folder, name))
    : [];
