/** The file side of this package, for Node only. */
export { tfjsModelFiles, type TfjsModelFiles } from './tfjs-model-files.ts';
