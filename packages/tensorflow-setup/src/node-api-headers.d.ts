/** The package comes without types. */
declare module 'node-api-headers' {
  export const include_dir: string;
}
