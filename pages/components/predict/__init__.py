"""Parts of the Predict page: images, preprocessing, labels, the job and its results."""
