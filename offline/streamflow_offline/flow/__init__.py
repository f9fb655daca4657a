"""The jobs as one Prefect flow, `pipeline.training_data`; the only package that needs the extra `prefect`."""
