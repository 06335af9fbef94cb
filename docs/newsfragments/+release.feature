GitHub workflows run the tests, build the site, and publish a release of the wheel, the sdist, the npm package and the image with provenance.
