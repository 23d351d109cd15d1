"""S3, Azure Blob and Google Cloud Storage: addresses, credentials and clients, through obstore."""
