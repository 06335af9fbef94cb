"""What people install and deploy: container files, packages, units, workflows."""
