// What tsc cannot see of the pages: the two libraries, which say nothing of their types here, and the elements.

declare const uPlot: any;
declare const Plotly: any;

interface Window {
  Plotly: any;
}

interface Document {
  // Each page has the elements that its scripts look for; a test opens it, and one that lacks fails there.
  getElementById(id: string): any;
}
