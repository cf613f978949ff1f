/** A file's text, as Vite imports it: on Node and in workerd alike. */
declare module '*?raw' {
  const text: string
  // oxlint-disable-next-line import/no-default-export -- that is how Vite gives it
  export default text
}
