/** What the dynamic linker means, in plain words. */

const explanations: readonly (readonly [RegExp, (match: RegExpExecArray) => string])[] = [
  [/version `(GLIBC_[\d.]+)' not found/, ([, version]) => `it needs a newer C library (${version}) than this machine has`],
  [
    /version `((?:GLIBCXX|CXXABI)_[\d.]+)' not found/,
    ([, version]) => `it needs a newer C++ library (${version}) than this machine has: install a newer libstdc++6`,
  ],
  [/undefined symbol: (\S+)/, ([, symbol]) => `binding and TensorFlow do not belong together: ${symbol} is missing`],
  [/(libtensorflow\S*): cannot open shared object file/, ([, library]) => `${library} is not where the binding was built for`],
  [/(lib\S+): cannot open shared object file/, ([, library]) => `a library that it needs is missing: ${library}`],
  [/wrong ELF class|invalid ELF header|cannot open shared object file: Exec format/, () => 'it was built for another kind of machine'],
  [/file too short/, () => 'a library was written in part'],
  [/was compiled against a different Node\.js version|NODE_MODULE_VERSION/, () => 'it was built for another Node'],
  [/native addon module \(tfjs_binding\.node\) can not be found/, () => 'its binding is not built'],
];

export function explainLoadError(message: string): string {
  for (const [pattern, explain] of explanations) {
    const match = pattern.exec(message);
    if (match !== null) return explain(match);
  }
  return message.replace(/^\w*Error: /, '').split('\n', 1)[0] as string;
}
