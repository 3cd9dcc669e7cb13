/** A GPU in software for tests where nobody named another: SwiftShader, which Debian's package chromium brings along. */
import { existsSync } from 'node:fs';

const DEBIAN_SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/** To be called before the first thing that looks for a GPU: Vulkan's loader reads the variable once. */
export function nameSoftwareGpu(): void {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = process.env;
  if (VK_DRIVER_FILES === undefined && VK_ICD_FILENAMES === undefined && existsSync(DEBIAN_SWIFTSHADER)) {
    process.env['VK_ICD_FILENAMES'] = DEBIAN_SWIFTSHADER;
  }
}
